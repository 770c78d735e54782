"""The effects of an event: the rows, objects and messages that follow from it. Pure.

The users that a result names are locked before it is built, so it is built once and never changed.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np
from msgspec import structs

from agents.identify.match_events import Origin, match_of, search_matches
from agents.identify.recognition import Recognition, SearchedImage
from domain.decisions.enrolment import ChosenFace
from domain.decisions.likeness import Unlikely
from domain.decisions.matching import Decision, MatchPolicy
from domain.events import (
    DetectedFaces,
    EventKind,
    FaceMatch,
    ImageEvent,
    MatchKind,
    Refusal,
)
from domain.object_keys import crop_key, snapshot_key, split_dataref
from domain.store_rows import EventResult, FaceRow, Outcome, Sighting
from domain.upload_answers import RankedCandidate, SearchedFace, Status, UploadAnswer, encode_answer
from domain.upload_events import is_for_sightings
from sinks.cache.probes import CachedProbe

#: The message does not contain the id: not even the id of an erased user is stored again.
UNKNOWN_USER = Refusal(code="unknown_user", message="there is no user with this id")


@dataclass(frozen=True, slots=True)
class EventEffects:
    """All effects of one event.

    Attributes:
        result: the ledger's row, and the rows of the faces.
        crops: JPEG by S3 key.
        deleted_crops: S3 keys of erased users' faces, and of snapshots that show them, which an
            earlier attempt may have written.
        snapshot: JPEG of the whole frame, if that is kept; its key is in the result.
        sightings: embeddings of faces that a camera saw.
        answer: of an upload, the answer to its caller.
        matches: the messages of ``faces.matches``.
        photo_is_deleted: whether the photo is deleted, because its user does not exist.
        hidden_faces: faces whose crops show an erased user, and stand for faces of this event.
        probes: of a search for sightings, the embeddings by face; not stored.
    """

    result: EventResult
    crops: Sequence[tuple[str, bytes]] = ()
    deleted_crops: Sequence[str] = ()
    sightings: Sequence[Sighting] = ()
    answer: UploadAnswer | None = None
    matches: Sequence[FaceMatch] = ()
    photo_is_deleted: bool = False
    hidden_faces: Collection[UUID] = ()
    snapshot: bytes = b""
    probes: Mapping[UUID, CachedProbe] = field(default_factory=dict)

    @property
    def pictures(self) -> Sequence[tuple[str, bytes]]:
        """Crops and snapshot by S3 key."""
        key = self.result.snapshot_key
        return self.crops if key is None else [*self.crops, (key, self.snapshot)]

    def without_crops(self, hidden: Collection[UUID]) -> "EventEffects":
        """The same without the crops of these faces, and without a snapshot that shows one."""
        keys = {face.match.crop_key for face in self.result.faces if face.match.face_id in hidden}
        crops = [(key, data) for key, data in self.crops if key not in keys]
        snapshot = self.result.snapshot_key
        if len(crops) == len(self.crops):
            return self
        faces = tuple(
            structs.replace(face, match=structs.replace(face.match, crop_key=None))
            if face.match.face_id in hidden
            else face
            for face in self.result.faces
        )
        return replace(
            self,
            result=structs.replace(self.result, faces=faces, snapshot_key=None),
            crops=crops,
            snapshot=b"",
            deleted_crops=[
                *self.deleted_crops,
                *(key for key, _ in self.crops if key in keys),
                *([snapshot] if snapshot else ()),
            ],
            matches=[face.match for face in faces],
        )

    def with_crop_keys(self, crop_keys: Mapping[UUID, str | None]) -> "EventEffects":
        """The same with these keys in the messages, for faces without a crop of their own."""
        if not crop_keys:
            return self
        matches = [
            structs.replace(match, crop_key=crop_keys.get(match.face_id, match.crop_key))
            for match in self.matches
        ]
        return replace(self, matches=matches)


def of_image(image: SearchedImage, erased: Collection[UUID]) -> EventEffects:
    """A frame or a search, decided without the users who were erased."""
    recognitions = image.decide(erased)
    if image.found.event.kind is EventKind.SEARCH:
        return searched(image.found, recognitions, image.policy)
    return seen(image.found, recognitions)


def seen(found: DetectedFaces, recognitions: Sequence[Recognition]) -> EventEffects:
    """A camera's frame: every face is stored and announced; for an erased user without a crop.

    A face that was followed from an earlier frame has neither crop nor sighting: those of its best
    face stand for it. A frame with an erased user is not kept as a whole.
    """
    event, origin = found.event, Origin.of(found)
    whole = snapshot_key(event.key, event.captured_at, event.uuid) if found.snapshot else None
    rows, crops, deleted, sightings, hidden = [], [], [], [], []
    for index, (face, recognition) in enumerate(zip(found.faces, recognitions, strict=True)):
        face_id = event.face_id(found.model, index)
        key = crop_key(event.key, event.captured_at, face_id)
        best = face.best_face_id
        has_crop = best is None and not recognition.was_erased
        if has_crop:
            crops.append((key, face.crop))
        elif recognition.was_erased:
            deleted.append(key)
            hidden += [] if best is None else [best]
        match = match_of(
            origin,
            face_id,
            face,
            recognition.decision,
            kind=MatchKind.FRAME,
            crop_key=key if has_crop else None,
            track_id=face.track_id,
            fresh=best is None,
            liveness=face.liveness,
        )
        rows.append(FaceRow(match=match, index=index, landmarks=face.landmarks, best_face_id=best))
        if best is None:
            sightings.append(
                Sighting(
                    face_id=face_id,
                    user_id=match.user_id,
                    embedding=np.frombuffer(face.embedding, "<f4"),
                    captured_at=event.at,
                )
            )
    if whole is not None and any(one.was_erased for one in recognitions):
        deleted.append(whole)
        whole = None
    result = _result(found, Outcome.FACES if rows else Outcome.NO_FACE, faces=tuple(rows))
    return EventEffects(
        result=structs.replace(result, snapshot_key=whole),
        crops=crops,
        snapshot=found.snapshot if whole is not None else b"",
        deleted_crops=deleted,
        sightings=sightings,
        matches=[row.match for row in rows],
        hidden_faces=hidden,
    )


def searched(
    found: DetectedFaces, recognitions: Sequence[Recognition], policy: MatchPolicy
) -> EventEffects:
    """A search by photo: it is answered and announced, but the probe is not stored."""
    faces = tuple(
        SearchedFace(
            face_id=found.event.face_id(found.model, index),
            box=face.box,
            score=face.score,
            quality=face.quality,
            decision=recognition.decision.reason or "",
            user_id=recognition.decision.user_id,
            candidates=tuple(
                RankedCandidate(
                    user_id=candidate.user_id,
                    similarity=candidate.similarity,
                    vetoed=candidate.is_vetoed,
                )
                for candidate in recognition.candidates
            ),
        )
        for index, (face, recognition) in enumerate(zip(found.faces, recognitions, strict=True))
    )
    answer = UploadAnswer(
        upload_id=found.event.key,
        status="searched",
        model=found.model,
        threshold=policy.threshold,
        margin=policy.margin,
        faces=faces,
    )
    users = {one.user_id for face in faces for one in face.candidates}
    kept = zip(faces, found.faces, strict=True) if is_for_sightings(found.event) else ()
    return EventEffects(
        probes={one.face_id: CachedProbe(found.model, face.embedding) for one, face in kept},
        result=_result(found, Outcome.SEARCHED, answer=answer, users=users),
        answer=answer,
        matches=search_matches(Origin.of(found), faces),
    )


def refused(
    found: DetectedFaces,
    refusal: Refusal,
    policy: str | None = None,
    *,
    users: Collection[UUID] = (),
    unlikely: Unlikely | None = None,
) -> EventEffects:
    """An upload that cannot be used, or became a dead letter: its caller gets the reason.

    Args:
        found: the upload.
        refusal: why.
        policy: digest of the rules that decided; see `agents.upload_policies`.
        users: those users named by uploads who exist.
        unlikely: of a refusal by likeness, what the photo was compared with.
    """
    status: Status = "failed" if refusal.given_up else "refused"
    outcome = Outcome.FAILED if refusal.given_up else Outcome.REFUSED
    another = None if unlikely is None else unlikely.another
    answer = UploadAnswer(
        upload_id=found.event.key,
        status=status,
        model=found.model,
        code=refusal.code,
        message=refusal.message,
        measures=refusal.measures,
        policy=policy,
        another=None
        if another is None
        else RankedCandidate(user_id=another.user_id, similarity=another.similarity),
        similarity=None if unlikely is None else unlikely.similarity,
    )
    user = user_of(found.event)
    named = {user} & set(users)
    people = {one for one in named if one} | ({another.user_id} if another else set())
    return EventEffects(
        result=_result(found, outcome, answer=answer, users=people),
        answer=answer,
        photo_is_deleted=refusal.code == UNKNOWN_USER.code or (user is not None and not named),
    )


def enrolled(
    found: DetectedFaces, chosen: ChosenFace, user_id: UUID, photos: int, weight: float
) -> EventEffects:
    """A template: the face is stored for its user.

    Args:
        found: the photo.
        chosen: the face of it that is enrolled.
        user_id: the user.
        photos: number of photos in the user's fused template now.
        weight: how much this one counts in it.
    """
    event, face = found.event, chosen.face
    face_id = event.face_id(found.model, chosen.index)
    key = crop_key(event.key, event.captured_at, face_id)
    match = match_of(
        Origin.of(found),
        face_id,
        face,
        Decision(user_id, None, None, None),
        kind=MatchKind.ENROLLED,
        crop_key=key,
        liveness=face.liveness,
    )
    answer = UploadAnswer(
        upload_id=event.key,
        status="enrolled",
        model=found.model,
        measures={"quality": face.quality, **face.measures},
        user_id=user_id,
        face_id=face_id,
        photos=photos,
        message=chosen.note,
        weight=weight,
        ignored_faces=chosen.ignored,
    )
    row = FaceRow(match=match, index=chosen.index, landmarks=face.landmarks)
    return EventEffects(
        result=_result(found, Outcome.ENROLLED, faces=(row,), answer=answer, users={user_id}),
        answer=answer,
        crops=[(key, face.crop)],
    )


def user_of(event: ImageEvent) -> UUID | None:
    """The user that a photo enrols; None for other events, and if the subject is not an id."""
    if event.kind is not EventKind.ENROL or event.subject is None:
        return None
    try:
        return UUID(event.subject)
    except ValueError:
        return None


def users_of(images: Iterable[DetectedFaces]) -> set[UUID]:
    """The users that photos enrol."""
    return {user for found in images if (user := user_of(found.event)) is not None}


def _result(
    found: DetectedFaces,
    outcome: Outcome,
    *,
    faces: tuple[FaceRow, ...] = (),
    answer: UploadAnswer | None = None,
    users: Collection[UUID] = (),
) -> EventResult:
    dataref = found.dataref
    return EventResult(
        event=found.event,
        model=found.model,
        width=found.width,
        height=found.height,
        outcome=outcome,
        face_count=len(found.faces),
        faces=faces,
        answer=encode_answer(answer) if answer else None,
        people=frozenset(users),
        dataref=dataref if dataref is not None and split_dataref(dataref) is not None else None,
    )
