"""The verdict on what is announced of corrections: at least once, the same each time. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from domain.decisions.corrections import CorrectionKind
from domain.events import match_name
from domain.people.people_changes import PeopleChange, PeopleChangeType
from domain.visit_events import VisitReason
from tests.chaos.accounting import Flaw
from tests.chaos.corrections.correction_evidence import ChangeMessage, CorrectionEvidence, Made
from tests.chaos.visits.visit_evidence import Announcement

_LABELS = {CorrectionKind.IS_USER, CorrectionKind.NOT_USER}


def message_flaws(
    evidence: CorrectionEvidence, announcements: Sequence[Announcement]
) -> Iterator[Flaw]:
    """Flaws of ``people.changes``, and of corrected faces and visits that come again.

    Args:
        evidence: of the run.
        announcements: the messages of ``faces.visits``, in the order of the log.
    """
    first = {one.id: one for one in reversed(evidence.changes)}
    yield from _repeated("people.changes", [(one.id, one.digest) for one in evidence.changes])
    yield from _repeated("faces.matches", [(one.id, one.digest) for one in evidence.face_messages])
    made = {one.id: one for one in evidence.made}
    for one in evidence.made:
        found = first.get(str(one.id))
        if found is None:
            yield Flaw("lost", f"{one.kind} {one.id} is not on people.changes")
        else:
            yield from _of_correction(one, found.change, made, evidence)
    for promoted in evidence.promotions:
        if not _is_told(first.values(), PeopleChangeType.UNKNOWN_PROMOTED, promoted.unknown_id):
            yield Flaw("lost", f"the promotion of {promoted.unknown_id} is not on people.changes")
    promotions = {one.correction_id for one in evidence.promotions}
    for unknown_id, unknown in evidence.unknowns.items():
        shown = unknown.counted > 1
        if shown and not _is_told(first.values(), PeopleChangeType.UNKNOWN_CREATED, unknown_id):
            yield Flaw("lost", f"unknown {unknown_id} is shown and not on people.changes")
    for message in first.values():
        correction = message.change.correction_id
        if correction is not None and correction not in made.keys() | promotions:
            yield Flaw("doubled", f"message {message.id} of a correction that was not made")
    yield from _order(evidence.changes)
    yield from _faces(evidence, made)
    yield from _visits(evidence, made, announcements)


def _repeated(topic: str, messages: Iterable[tuple[str, str]]) -> Iterator[Flaw]:
    digests: dict[str, str] = {}
    for name, digest in messages:
        if digests.setdefault(name, digest) != digest:
            yield Flaw("doubled", f"two different messages {name} on {topic}")


def _of_correction(
    one: Made, change: PeopleChange, made: dict[UUID, Made], evidence: CorrectionEvidence
) -> Iterator[Flaw]:
    """The message says what was made."""
    is_so = (change.correction_id, change.correction, change.undoes)
    if is_so != (one.id, one.kind.value, one.undoes):
        yield Flaw("wrong", f"the message of {one.kind} {one.id} says {is_so}")
    said = one if one.undoes is None else made[one.undoes]
    if said.user_id not in change.users:
        yield Flaw("wrong", f"the message of {one.kind} {one.id} does not name {said.user_id}")
    if set(change.face_ids) != set(evidence.kept_faces.get(one.id, ())):
        yield Flaw("wrong", f"the message of {one.kind} {one.id} names other faces")


def _is_told(messages: Iterable[ChangeMessage], kind: PeopleChangeType, unknown_id: UUID) -> bool:
    return any(one.change.type is kind and one.change.unknown_id == unknown_id for one in messages)


def _order(changes: Sequence[ChangeMessage]) -> Iterator[Flaw]:
    """The first messages of each key are in the order in which the changes were made."""
    last: dict[UUID, PeopleChange] = {}
    seen: set[str] = set()
    for one in changes:
        if one.id in seen:
            continue
        seen.add(one.id)
        before = last.get(one.change.key)
        if before is not None and before.at > one.change.at:
            yield Flaw("wrong", f"message {one.id} comes after {before.change_id}, which is later")
        last[one.change.key] = one.change


def _faces(evidence: CorrectionEvidence, made: dict[UUID, Made]) -> Iterator[Flaw]:
    """A corrected face comes again, and names the message that it replaces."""
    messages = {one.id: one for one in reversed(evidence.face_messages)}
    for face_id, face in evidence.faces.items():
        correction = made.get(face.said_by) if face.said_by is not None else None
        if correction is None:
            continue
        said = correction if correction.undoes is None else made[correction.undoes]
        if said.kind not in _LABELS:
            continue
        name = match_name(face_id, correction.id)
        message = messages.get(name)
        if message is None:
            yield Flaw("lost", f"face {face_id} was not announced as {correction.id} corrected it")
        elif message.user_id != face.user_id:
            yield Flaw("wrong", f"message {name} says {message.user_id}, the row {face.user_id}")
    for message in messages.values():
        if message.correction_id not in made:
            yield Flaw("doubled", f"message {message.id} of a correction that was not made")
        before = (message.supersedes or "").removeprefix(f"{message.face_id}").removeprefix("/")
        if not (message.supersedes or "").startswith(str(message.face_id)) or (
            before and before not in {str(one) for one in made}
        ):
            yield Flaw("wrong", f"message {message.id} supersedes {message.supersedes}")


def _visits(
    evidence: CorrectionEvidence, made: dict[UUID, Made], announcements: Sequence[Announcement]
) -> Iterator[Flaw]:
    """A corrected visit comes again, and names the message that it replaces."""
    told: dict[UUID, set[UUID]] = {}
    promotions = {one.correction_id for one in evidence.promotions}
    for one in announcements:
        visit = one.visit
        if visit.reason != VisitReason.CORRECTED:
            if visit.supersedes is not None:
                yield Flaw("wrong", f"message {one.id} supersedes {visit.supersedes}")
            continue
        if visit.correction_id in made:
            told.setdefault(visit.correction_id, set()).add(visit.visit_id)
        elif visit.correction_id not in promotions:
            yield Flaw("doubled", f"message {one.id} of a correction that was not made")
        if visit.supersedes != f"{visit.visit_id}/{visit.revision - 1}":
            yield Flaw("wrong", f"message {one.id} supersedes {visit.supersedes}")
    for one in made.values():
        said = one if one.undoes is None else made[one.undoes]
        if said.kind not in _LABELS:
            continue
        expected = set(evidence.kept_visits.get(one.id, ()))
        if missing := expected - told.get(one.id, set()):
            yield Flaw("lost", f"{one.kind} {one.id}: visit {min(missing)} was not announced")
