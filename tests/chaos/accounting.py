"""The verdict: compares the published events with the contents of every store and topic. Pure.

An event has one outcome if it has one row in the ledger or one dead letter, never both, and if each
of its faces has one row, one crop, one embedding and one match event. Match events and dead letters
are sent at least once (docs/decisions/0007): an identical repetition is counted, but is not a flaw;
a different one is.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid5

from domain.events import NAMESPACE
from tests.chaos.expectations import Expect


@dataclass(frozen=True, slots=True)
class Event:
    """A message that the broker has accepted, or several messages with one id.

    Attributes:
        source: ``ce_source``, or its replacement in a bare message.
        id: ``ce_id``, or its replacement in a bare message.
        expect: its expected outcome.
        published_at: when it was first sent to the broker.
        copies: addresses of its messages, ``topic/partition/offset``.
    """

    source: str
    id: str
    expect: Expect
    published_at: datetime
    copies: tuple[str, ...]

    @property
    def uuid(self) -> UUID:
        """Its UUID in the ledger, by the contract."""
        return uuid5(NAMESPACE, f"{self.source}|{self.id}")


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A row of the ledger."""

    event_uuid: UUID
    source: str
    id: str
    model: str
    outcome: str
    announced_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter: the address of the original, and whether it contains all of the original."""

    address: str
    reason: str
    intact: bool
    written_at: datetime


@dataclass(frozen=True, slots=True)
class Face:
    """A row of ``faces``.

    Attributes:
        face_id: the face.
        event_uuid: its event.
        user_id: who it is.
        crop_key: of its own crop.
        best_face_id: the face whose crop stands for this one, which has no embedding either.
    """

    face_id: UUID
    event_uuid: UUID
    user_id: UUID | None
    crop_key: str | None
    best_face_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class MatchMessage:
    """A message of ``faces.matches``; the digest covers value and headers."""

    face_id: UUID
    event_id: str
    user_id: UUID | None
    digest: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """The contents of all stores and topics after a run.

    Attributes:
        ledger: all rows of the ledger.
        dead_letters: all dead letters.
        faces: all rows of ``faces``.
        crops: all keys that begin with ``crops/``.
        embeddings: kind (``sighting``, ``template``) of each embedding, by its face.
        match_messages: all messages of ``faces.matches``.
        known: the enrolled user.
        photos: number of photos that the gallery counts for that user.
        corrected: faces of which a person has said who they are; `corrections` judges whose these
            are.
    """

    ledger: Sequence[LedgerRow]
    dead_letters: Sequence[DeadLetter]
    faces: Sequence[Face]
    crops: Collection[str]
    embeddings: Mapping[UUID, str]
    match_messages: Sequence[MatchMessage]
    known: UUID
    photos: int
    corrected: Collection[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class Flaw:
    """A difference from the expected contents.

    Attributes:
        sort: lost, doubled, wrong (an outcome, but not the expected one) or stuck.
        what: the event, and the difference.
    """

    sort: Literal["lost", "doubled", "wrong", "stuck"]
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of the comparison.

    Attributes:
        flaws: all flaws; none in a good run.
        outcomes: number of events by expected outcome.
        repeated_matches: number of identical repetitions of match events.
        repeated_dead_letters: number of repeated dead letters of the same message.
    """

    flaws: tuple[Flaw, ...]
    outcomes: Mapping[str, int]
    repeated_matches: int
    repeated_dead_letters: int

    def count(self, sort: str) -> int:
        """The number of flaws of a sort."""
        return sum(flaw.sort == sort for flaw in self.flaws)


_LEDGER_OUTCOME = {
    Expect.KNOWN: "faces",
    Expect.UNKNOWN: "faces",
    Expect.NO_FACE: "no_face",
    Expect.ENROLLED: "enrolled",
    Expect.REFUSED: "refused",
    Expect.FOUND: "searched",
    Expect.NOT_FOUND: "searched",
}
_STORED = {Expect.KNOWN: "sighting", Expect.UNKNOWN: "sighting", Expect.ENROLLED: "template"}
_ANNOUNCED = frozenset({Expect.KNOWN, Expect.UNKNOWN, Expect.FOUND, Expect.NOT_FOUND})
_IS_KNOWN = frozenset({Expect.KNOWN, Expect.ENROLLED, Expect.FOUND})


def judge(published: Sequence[Event], evidence: Evidence) -> Verdict:
    """Compare the contents of all stores and topics with the published events."""
    lines: dict[tuple[str, str], list[LedgerRow]] = defaultdict(list)
    for line in evidence.ledger:
        lines[line.source, line.id].append(line)
    dead_letters: dict[str, list[DeadLetter]] = defaultdict(list)
    for dead_letter in evidence.dead_letters:
        dead_letters[dead_letter.address].append(dead_letter)
    faces: dict[UUID, list[Face]] = defaultdict(list)
    for face in evidence.faces:
        faces[face.event_uuid].append(face)
    match_messages: dict[UUID, list[MatchMessage]] = defaultdict(list)
    for message in evidence.match_messages:
        match_messages[message.face_id].append(message)

    flaws: list[Flaw] = []
    outcomes: Counter[str] = Counter()
    expected_faces: set[UUID] = set()
    for event in published:
        own = lines.pop((event.source, event.id), [])
        own_dead_letters = [dead_letters.pop(address, []) for address in event.copies]
        flaws += _outcome(event, own, [kept for kept in own_dead_letters if kept])
        outcomes[event.expect] += 1
        if len(own) == 1 and own[0].outcome == _LEDGER_OUTCOME.get(event.expect):
            face_id = uuid5(NAMESPACE, f"{event.source}|{event.id}|{own[0].model}|0")
            expected_faces.add(face_id)
            flaws += _effects(
                event, face_id, faces.pop(event.uuid, []), match_messages.get(face_id, ()), evidence
            )
    flaws += _left_over(lines, dead_letters, faces, expected_faces, evidence)
    enrolled = outcomes[Expect.ENROLLED]
    if evidence.photos != enrolled:
        sort: Literal["lost", "doubled"] = "lost" if evidence.photos < enrolled else "doubled"
        flaws.append(Flaw(sort, f"the gallery counts {evidence.photos} photos of {enrolled}"))
    return Verdict(
        tuple(flaws),
        outcomes,
        len(evidence.match_messages) - len(match_messages),
        len(evidence.dead_letters)
        - len({dead_letter.address for dead_letter in evidence.dead_letters}),
    )


def announcement_times(published: Sequence[Event], evidence: Evidence) -> dict[UUID, datetime]:
    """When each event had its outcome and was announced, by the event's UUID."""
    lines = {(line.source, line.id): line.announced_at for line in evidence.ledger}
    dead_letters = {
        dead_letter.address: dead_letter.written_at
        for dead_letter in reversed(evidence.dead_letters)
    }
    times = {}
    for event in published:
        moments = [lines.get((event.source, event.id)), *map(dead_letters.get, event.copies)]
        if known := [moment for moment in moments if moment is not None]:
            times[event.uuid] = max(known)
    return times


def _outcome(
    event: Event, lines: Sequence[LedgerRow], own_dead_letters: Sequence[Sequence[DeadLetter]]
) -> Iterator[Flaw]:
    """Flaws of the outcome: exactly one, and the expected one."""
    name = f"{event.source} {event.id} ({event.expect})"
    if not lines and not own_dead_letters:
        yield Flaw("lost", f"{name} has no outcome")
    if len(lines) > 1:
        yield Flaw("doubled", f"{name} has {len(lines)} rows in the ledger")
    if lines and own_dead_letters:
        yield Flaw("doubled", f"{name} is in the ledger and a dead letter")
    if event.expect is Expect.DEAD_LETTER:
        if lines:
            yield Flaw("wrong", f"{name} has the outcome {lines[0].outcome}")
        elif 0 < len(own_dead_letters) < len(event.copies):
            yield Flaw(
                "lost",
                f"{name}: {len(event.copies) - len(own_dead_letters)} copies have no dead letter",
            )
    elif own_dead_letters:
        yield Flaw("wrong", f"{name} is a dead letter: {own_dead_letters[0][0].reason}")
    for kept in own_dead_letters:
        if not all(dead_letter.intact for dead_letter in kept):
            yield Flaw("lost", f"{name}: its dead letter differs from the original")
    yield from (
        Flaw("wrong", f"{name} has the outcome {line.outcome}")
        for line in lines
        if event.expect is not Expect.DEAD_LETTER and line.outcome != _LEDGER_OUTCOME[event.expect]
    )
    yield from (
        Flaw("lost", f"{name} was never announced") for line in lines if not line.announced_at
    )


def _effects(
    event: Event,
    face_id: UUID,
    rows: Sequence[Face],
    match_messages: Sequence[MatchMessage],
    evidence: Evidence,
) -> Iterator[Flaw]:
    """Flaws of row, crop, embedding and match event of the one face, if one is expected."""
    name = f"{event.source} {event.id} ({event.expect})"
    person = evidence.known if event.expect in _IS_KNOWN else None
    stored = _STORED.get(event.expect)
    if stored is not None:
        yield from _stored(name, face_id, rows, (stored, person), evidence)
    elif rows:
        yield Flaw("doubled", f"{name} has {len(rows)} rows, expected none")
    if event.expect not in _ANNOUNCED:
        if match_messages:
            yield Flaw("doubled", f"{name}: a match event, expected none")
        return
    if not match_messages:
        yield Flaw("lost", f"{name}: no match event")
    if len({message.digest for message in match_messages}) > 1:
        yield Flaw("doubled", f"{name}: different match events")
    if any(message.user_id != person for message in match_messages):
        yield Flaw("wrong", f"{name}: the match event names another user")


def _stored(
    name: str,
    face_id: UUID,
    rows: Sequence[Face],
    wanted: tuple[str, UUID | None],
    evidence: Evidence,
) -> Iterator[Flaw]:
    """Flaws of the one row, its crop and its embedding of the expected kind and user."""
    kind, person = wanted
    if [row.face_id for row in rows] != [face_id]:
        sort: Literal["lost", "doubled"] = "doubled" if rows else "lost"
        yield Flaw(sort, f"{name} has {len(rows)} rows, expected {face_id}")
        return
    (row,) = rows
    if row.user_id != person and face_id not in evidence.corrected:
        yield Flaw("wrong", f"{name} was recognised as {row.user_id}")
    if row.best_face_id == row.face_id:
        return  # its frame was detected twice, by workers with different tracks
    best = _best(row, evidence)
    if best.crop_key not in evidence.crops:
        yield Flaw("lost", f"{name}: a row without its crop")
    if evidence.embeddings.get(best.face_id) != kind:
        yield Flaw("lost", f"{name}: a row without its embedding")


def _best(row: Face, evidence: Evidence) -> Face:
    """The face whose crop and embedding stand for this one; nearly always one step away."""
    if row.best_face_id is None:
        return row
    rows = {one.face_id: one for one in evidence.faces}
    passed = set[UUID]()
    while row.best_face_id in rows and row.face_id not in passed:
        passed.add(row.face_id)
        row = rows[row.best_face_id]
    return row


def _left_over(
    lines: Mapping[tuple[str, str], Sequence[LedgerRow]],
    dead_letters: Mapping[str, Sequence[DeadLetter]],
    faces: Mapping[UUID, Sequence[Face]],
    expected_faces: Collection[UUID],
    evidence: Evidence,
) -> Iterator[Flaw]:
    """Data that belong to no event, or to no face of an event."""
    for source, identifier in lines:
        yield Flaw("doubled", f"the ledger has {source} {identifier}, which was not published")
    for address, kept in dead_letters.items():
        yield Flaw(
            "doubled", f"a dead letter of {address} ({kept[0].reason}), which is not an event"
        )
    for rows in faces.values():
        yield from (Flaw("doubled", f"row {row.face_id} of no event with faces") for row in rows)
    owned = {row.face_id for row in evidence.faces}
    keys = {row.crop_key for row in evidence.faces}
    for key in sorted(set(evidence.crops) - keys):
        yield Flaw("doubled", f"crop {key} without a row")
    for face_id in evidence.embeddings.keys() - owned:
        yield Flaw("doubled", f"embedding {face_id} without a row")
    for face_id in {message.face_id for message in evidence.match_messages} - set(expected_faces):
        yield Flaw("doubled", f"a match event of face {face_id}, which belongs to no event")
