"""The verdict on corrections: each is made once, as it was asked, and has all its effects. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from domain.decisions.corrections import CorrectionKind
from domain.visit_events import Visit, VisitReason
from tests.chaos.accounting import Flaw
from tests.chaos.corrections.correction_evidence import (
    Asked,
    CorrectionEvidence,
    Made,
)
from tests.chaos.corrections.correction_messages import message_flaws
from tests.chaos.corrections.label_replay import Pile, Replayed, replayed
from tests.chaos.corrections.unknown_accounting import unknown_flaws
from tests.chaos.visits.visit_evidence import Announcement


@dataclass(frozen=True, slots=True)
class CorrectionFigures:
    """What was counted of corrections.

    Attributes:
        made: corrections by their kind, undos too.
        unanswered: those of them to which no answer came.
        faces: faces whose label was changed, each time counted.
        visits: visits whose label was changed, each time counted.
        promoted: unknowns that were given a name.
        unknowns: all unknowns.
        grouped: visits that belong to one.
        messages: messages of ``people.changes``, each counted once.
        repeated: identical repetitions of messages.
    """

    made: Mapping[str, int]
    unanswered: int
    faces: int
    visits: int
    promoted: int
    unknowns: int
    grouped: int
    messages: int
    repeated: int


@dataclass(frozen=True, slots=True)
class CorrectionVerdict:
    """Flaws of corrections, none in a good run; and the figures."""

    flaws: tuple[Flaw, ...]
    figures: CorrectionFigures


def judge_corrections(
    evidence: CorrectionEvidence,
    visits: Mapping[UUID, UUID | None],
    photos: Mapping[UUID, UUID | None],
    announcements: Sequence[Announcement],
) -> CorrectionVerdict:
    """Compare tables and topics with what was asked for.

    Args:
        evidence: of the run.
        visits: whose each visit is by its faces, by the last announcement that no person made.
        photos: whose each photo was before the run.
        announcements: the messages of ``faces.visits``, in the order of the log.
    """
    flaws = [*_asked(evidence), *(Flaw("stuck", line) for line in evidence.left)]
    flaws += [Flaw("wrong", f"the reconciler finds {line}") for line in evidence.faults]
    if not any(flaw.sort == "doubled" for flaw in flaws):
        outcome = replayed(evidence, visits, photos)
        flaws += _kept(evidence, outcome)
        flaws += _labels(evidence, outcome)
        flaws += _photos(evidence, outcome)
        flaws += _users(evidence, outcome)
        flaws += message_flaws(evidence, announcements)
    flaws += unknown_flaws(evidence)
    return CorrectionVerdict(tuple(flaws), _figures(evidence))


def _asked(evidence: CorrectionEvidence) -> Iterator[Flaw]:
    """Each answered one is there as it was asked; each one that is there was asked for, once."""
    by_id = {one.id: one for one in evidence.made}
    by_undone = {one.undoes: one for one in evidence.made if one.undoes is not None}
    found: set[UUID] = set()
    for asked in evidence.asked:
        row = by_undone.get(asked.undoes) if asked.undoes else by_id.get(asked.id or UUID(int=0))
        name = f"{asked.kind} {asked.id or asked.undoes}"
        if row is None:
            if asked.answered:
                yield Flaw("lost", f"{name} was answered and is not in the table")
            continue
        found.add(row.id)
        if not _is_as_asked(row, asked):
            yield Flaw("wrong", f"{name} is in the table as {row}")
    for row in evidence.made:
        if row.id not in found:
            yield Flaw("doubled", f"correction {row.id} ({row.kind}) was not asked for")
    made = {one.unknown_id: one.user_id for one in evidence.promotions}
    if len(made) < len(evidence.promotions):
        yield Flaw("doubled", "an unknown was promoted twice")
    for unknown_id, user_id in evidence.promoted.items():
        if made.get(unknown_id) != user_id:
            yield Flaw("lost", f"the promotion of {unknown_id} to {user_id} is not there")


def _is_as_asked(row: Made, asked: Asked) -> bool:
    if asked.kind is CorrectionKind.UNDO:
        return row.kind is CorrectionKind.UNDO and asked.id in {None, row.id}
    same = (row.kind, row.user_id, row.face_id, row.visit_id) == (
        asked.kind,
        asked.user_id,
        asked.face_id,
        asked.visit_id,
    )
    is_merge = asked.kind is CorrectionKind.MERGE
    return same and (not is_merge or row.other_user_id == asked.other_user_id)


def _kept(evidence: CorrectionEvidence, outcome: Replayed) -> Iterator[Flaw]:
    """Each correction has changed the faces and visits that it is about, and no others."""
    for one in evidence.made:
        yield from _same(
            f"{one.kind} {one.id}: faces",
            set(evidence.kept_faces.get(one.id, ())),
            outcome.kept_faces[one.id],
        )
        yield from _same(
            f"{one.kind} {one.id}: visits",
            set(evidence.kept_visits.get(one.id, ())),
            outcome.kept_visits[one.id],
        )


def _same(name: str, found: set[UUID], expected: set[UUID]) -> Iterator[Flaw]:
    if missing := expected - found:
        yield Flaw("lost", f"{name}: {len(missing)} were not changed, such as {min(missing)}")
    if more := found - expected:
        yield Flaw("wrong", f"{name}: {len(more)} others were changed, such as {min(more)}")


def _labels(evidence: CorrectionEvidence, outcome: Replayed) -> Iterator[Flaw]:
    """Whose faces and visits are, in both databases."""
    for face_id, face in evidence.faces.items():
        pile = outcome.faces[face_id]
        yield from _label(f"face {face_id}", (face.user_id, face.said_by), pile)
        if face.has_embedding and face.embedded_for != face.user_id:
            what = f"{face.embedded_for}'s, the face {face.user_id}'s"
            yield Flaw(_sort(pile), f"the embedding of face {face_id} is {what}")
    for visit_id, visit in evidence.visits.items():
        if not visit.merged and visit_id in outcome.visits:
            found = visit.user_id, visit.said_by
            yield from _label(f"visit {visit_id}", found, outcome.visits[visit_id])


def _label(name: str, found: tuple[UUID | None, UUID | None], pile: Pile) -> Iterator[Flaw]:
    if found[0] != pile.user_id:
        yield Flaw(_sort(pile), f"{name} is {found[0]}'s, not {pile.user_id}'s")
    if found[1] != pile.said_by:
        yield Flaw(_sort(pile), f"{name} was corrected last by {found[1]}, not {pile.said_by}")


def _sort(pile: Pile) -> Literal["lost", "wrong"]:
    """What a person has said is lost; else the faces are of another one."""
    return "lost" if len(pile.words) > 1 or pile.said_by is not None else "wrong"


def _photos(evidence: CorrectionEvidence, outcome: Replayed) -> Iterator[Flaw]:
    for face_id, photo in evidence.photos.items():
        pile, is_out = outcome.photos[face_id], face_id in outcome.out
        expected = (pile.user_id, is_out)
        if (photo.user_id, photo.is_out) != expected:
            what = f"{photo.user_id}'s, out: {photo.is_out}; not {expected}"
            yield Flaw("lost", f"photo {face_id} is {what}")
        if (photo.template_of, photo.template_is_out) != expected:
            what = f"{photo.template_of}'s, out: {photo.template_is_out}; not {expected}"
            yield Flaw("lost", f"the template of photo {face_id} is {what}")


def _users(evidence: CorrectionEvidence, outcome: Replayed) -> Iterator[Flaw]:
    """Who is merged, and what the gallery has of each."""
    for user_id, user in evidence.users.items():
        into = outcome.merged.get(user_id)
        if (user.merged_into, user.is_active) != (into, into is None):
            what = f"merged into {user.merged_into}, active: {user.is_active}; not {into}"
            yield Flaw("lost", f"user {user_id} is {what}")
        count = sum(
            pile.user_id == user_id and face_id not in outcome.out
            for face_id, pile in outcome.photos.items()
        )
        count = count if into is None else 0
        if (user.photos, user.in_gallery) != (count, count > 0):
            what = f"{user.photos} photos, in it: {user.in_gallery}; not {count}"
            yield Flaw("lost", f"the gallery has of user {user_id} {what}")
        if user.mean_differs:
            yield Flaw("wrong", f"the template of user {user_id} is not that of the photos")


def _figures(evidence: CorrectionEvidence) -> CorrectionFigures:
    answered = sum(one.answered for one in evidence.asked)
    first = {one.id for one in evidence.changes}
    of_faces = {one.id for one in evidence.face_messages}
    return CorrectionFigures(
        made=Counter(one.kind.value for one in evidence.made),
        unanswered=len(evidence.made) - answered,
        faces=sum(map(len, evidence.kept_faces.values())),
        visits=sum(map(len, evidence.kept_visits.values())),
        promoted=len(evidence.promotions),
        unknowns=len(evidence.unknowns),
        grouped=len(evidence.members),
        messages=len(first),
        repeated=len(evidence.changes) - len(first) + len(evidence.face_messages) - len(of_faces),
    )


def labels_by_faces(announcements: Sequence[Announcement]) -> dict[UUID, UUID | None]:
    """Whose each visit is by its faces: as it was announced last without a person's word."""
    last: dict[UUID, Visit] = {}
    for one in announcements:
        visit = one.visit
        if visit.correction_id is None and visit.reason != VisitReason.CORRECTED:
            before = last.setdefault(visit.visit_id, visit)
            last[visit.visit_id] = max(before, visit, key=lambda one: one.revision)
    return {visit_id: visit.user_id for visit_id, visit in last.items()}
