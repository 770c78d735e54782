"""What a small good run leaves of corrections and unknowns, for tests of their count."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from msgspec import structs

from domain.decisions.corrections import CorrectionKind
from domain.events import NAMESPACE, match_name
from domain.people.people_changes import PeopleChange, PeopleChangeType
from domain.visit_events import Visit, VisitReason, VisitState, VisitType
from tests.chaos.corrections.correction_evidence import (
    Asked,
    ChangeMessage,
    CorrectionEvidence,
    FaceMessage,
    LabelledVisit,
    Made,
    Promoted,
    StoredFace,
    StoredPhoto,
    StoredUnknown,
    StoredUser,
)
from tests.chaos.visits.visit_evidence import Announcement

START = datetime(2026, 3, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def named(name: str) -> UUID:
    return uuid5(NAMESPACE, name)


KNOWN, ADA, BOB, EVE = map(named, ("known", "ada", "bob", "eve"))
FACES = tuple(named(f"face {number}") for number in range(8))
OURS, NAMED, KNOWNS, OTHER = (named(f"visit {number}") for number in range(4))
PHOTOS = tuple(named(f"photo {number}") for number in range(3))
PROMOTED, OPEN = named("promoted"), named("open")
IS, NOT, MERGE, OUT, UNDO = (
    CorrectionKind.IS_USER,
    CorrectionKind.NOT_USER,
    CorrectionKind.MERGE,
    CorrectionKind.PHOTO_OUT,
    CorrectionKind.UNDO,
)

#: What was said, in order; between "not" and its undo an unknown is promoted.
VISIT_IS = Made(id=named("c1"), kind=IS, user_id=ADA, visit_id=OURS, at=START)
FACE_IS = Made(id=named("c2"), kind=IS, user_id=BOB, face_id=FACES[3], at=START + SECOND)
MERGED = Made(id=named("c3"), kind=MERGE, user_id=ADA, other_user_id=BOB, at=START + 2 * SECOND)
PARTED = Made(
    id=named("c4"),
    kind=UNDO,
    user_id=ADA,
    other_user_id=BOB,
    undoes=MERGED.id,
    at=START + 3 * SECOND,
)
TAKEN_OUT = Made(id=named("c5"), kind=OUT, user_id=ADA, face_id=PHOTOS[0], at=START + 4 * SECOND)
FACE_NOT = Made(id=named("c6"), kind=NOT, user_id=BOB, face_id=FACES[3], at=START + 5 * SECOND)
PROMOTION = Promoted(PROMOTED, EVE, START + 6 * SECOND)
UNDONE = Made(
    id=named("c7"),
    kind=UNDO,
    user_id=BOB,
    face_id=FACES[3],
    undoes=FACE_NOT.id,
    at=START + 7 * SECOND,
)
MADE = (VISIT_IS, FACE_IS, MERGED, PARTED, TAKEN_OUT, FACE_NOT, UNDONE)

KEPT_FACES = {
    VISIT_IS.id: {FACES[0], FACES[1]},
    FACE_IS.id: {FACES[3]},
    MERGED.id: {FACES[3], PHOTOS[2]},
    PARTED.id: {FACES[3], PHOTOS[2]},
    TAKEN_OUT.id: {PHOTOS[0]},
    FACE_NOT.id: {FACES[3]},
}

#: Whose visits and photos were before.
BY_FACES = {OURS: None, NAMED: None, KNOWNS: KNOWN, OTHER: None}
OWNERS = {PHOTOS[0]: ADA, PHOTOS[1]: ADA, PHOTOS[2]: BOB}


def asked(one: Made, *, answered: bool = True) -> Asked:
    is_undo = one.kind is UNDO
    return Asked(
        id=one.id,
        kind=one.kind,
        user_id=None if is_undo else one.user_id,
        other_user_id=None if is_undo else one.other_user_id,
        face_id=None if is_undo else one.face_id,
        visit_id=one.visit_id,
        undoes=one.undoes,
        answered=answered,
    )


def change(one: Made) -> ChangeMessage:
    return ChangeMessage(
        str(one.id),
        PeopleChange(
            change_id=one.id,
            type=PeopleChangeType.USER_MERGED
            if one in {MERGED, PARTED}
            else PeopleChangeType.FACE_CORRECTED,
            at=one.at,
            user_id=one.user_id,
            other_user_id=one.other_user_id,
            face_ids=tuple(KEPT_FACES.get(one.id, ())),
            correction_id=one.id,
            correction=one.kind.value,
            undoes=one.undoes,
        ),
        f"digest of {one.id}",
    )


def of_unknown(kind: PeopleChangeType, unknown_id: UUID, user_id: UUID | None) -> ChangeMessage:
    name = named(f"{kind} {unknown_id}")
    told = PeopleChange(
        change_id=name, type=kind, at=PROMOTION.at, user_id=user_id, unknown_id=unknown_id
    )
    return ChangeMessage(str(name), told, f"digest of {name}")


def face(number: int, visit: UUID, **fields: object) -> StoredFace:
    own = {"visit_id": visit, "frame": ("door", START + number * SECOND, f"frame {number}")}
    label = {"embedded_for": fields.get("user_id")}
    return StoredFace(**own | label | fields)  # type: ignore[arg-type]


def announced(
    visit_id: UUID, revision: int, kind: VisitType, user_id: UUID | None = None, **fields: object
) -> Announcement:
    visit = Visit(
        visit_id=visit_id,
        camera_id="door",
        revision=revision,
        state=VisitState.OPEN if kind is VisitType.STARTED else VisitState.ENDED,
        user_id=user_id,
        started_at=START,
        last_seen_at=START + 3 * SECOND,
        faces=3,
    )
    visit = structs.replace(visit, **fields)
    return Announcement(f"{visit_id}/{revision}", kind, "door", visit, f"{visit}")


#: Of each visit the beginning and the end, and then what was said of the first one.
ANNOUNCEMENTS = (
    *(
        announced(visit_id, number, kind, BY_FACES[visit_id])
        for visit_id in BY_FACES
        for number, kind in ((1, VisitType.STARTED), (2, VisitType.ENDED))
    ),
    announced(
        OURS,
        3,
        VisitType.UPDATED,
        ADA,
        reason=VisitReason.CORRECTED,
        correction_id=VISIT_IS.id,
        supersedes=f"{OURS}/2",
    ),
)

GOOD = CorrectionEvidence(
    asked=[asked(one, answered=one is not FACE_IS) for one in MADE],
    promoted={PROMOTED: EVE},
    made=MADE,
    promotions=[PROMOTION],
    faces={
        FACES[0]: face(0, OURS, user_id=ADA, said_by=VISIT_IS.id),
        FACES[1]: face(1, OURS, user_id=ADA, said_by=VISIT_IS.id),
        FACES[2]: face(2, OURS, late=True),
        FACES[3]: face(3, NAMED, user_id=EVE),
        FACES[4]: face(4, NAMED, user_id=EVE),
        FACES[5]: face(5, KNOWNS, user_id=KNOWN, original=KNOWN),
        FACES[6]: face(6, OTHER),
        FACES[7]: face(7, OTHER, has_embedding=False, shows=False),
    },
    photos={
        PHOTOS[0]: StoredPhoto(ADA, True, ADA, True),
        PHOTOS[1]: StoredPhoto(ADA, False, ADA, False),
        PHOTOS[2]: StoredPhoto(BOB, False, BOB, False),
    },
    users={ADA: StoredUser(photos=1), BOB: StoredUser(photos=1)},
    visits={
        OURS: LabelledVisit(ADA, VISIT_IS.id),
        NAMED: LabelledVisit(EVE, None),
        KNOWNS: LabelledVisit(KNOWN, None),
        OTHER: LabelledVisit(None, None),
    },
    kept_faces=KEPT_FACES,
    kept_visits={VISIT_IS.id: {OURS}},
    changes=[
        *map(change, MADE),
        of_unknown(PeopleChangeType.UNKNOWN_CREATED, OPEN, None),
        of_unknown(PeopleChangeType.UNKNOWN_PROMOTED, PROMOTED, EVE),
    ],
    face_messages=[
        FaceMessage(
            match_name(face_id, VISIT_IS.id), face_id, ADA, VISIT_IS.id, str(face_id), "digest"
        )
        for face_id in FACES[:2]
    ],
    unknowns={
        PROMOTED: StoredUnknown(state="promoted", user_id=EVE, counted=1, in_gallery=False),
        OPEN: StoredUnknown(counted=1, exemplars=frozenset({OTHER})),
    },
    members={NAMED: PROMOTED, OTHER: OPEN},
    groupable=[OTHER],
    left=[],
    faults=[],
)
