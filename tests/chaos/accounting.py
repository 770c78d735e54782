"""The verdict: what was published against what every store and topic holds. Pure.

An event has one outcome when the ledger has one line of it, or the dead letters one, never both,
and when rows, crops, embeddings and match events are there once for each of its faces. Match
events and dead letters are told at least once (docs/decisions/0007): a word-for-word repeat is
counted, and is no fault; one that differs is.
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
    """A message that the broker has taken, or several of one id.

    Attributes:
        source: ``ce_source``, or what stands for it in a bare message.
        id: ``ce_id``, likewise.
        expect: what is to become of it.
        published_at: when it was first given to the broker.
        copies: addresses of its messages, ``topic/partition/offset``.
    """

    source: str
    id: str
    expect: Expect
    published_at: datetime
    copies: tuple[str, ...]

    @property
    def uuid(self) -> UUID:
        """What the ledger calls it, by the contract."""
        return uuid5(NAMESPACE, f"{self.source}|{self.id}")


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """A line of the ledger."""

    event_uuid: UUID
    source: str
    id: str
    model: str
    outcome: str
    told_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter: the address of the message that it keeps, and whether it keeps it whole."""

    address: str
    reason: str
    intact: bool
    told_at: datetime


@dataclass(frozen=True, slots=True)
class Face:
    """A row of ``faces``."""

    face_id: UUID
    event_uuid: UUID
    user_id: UUID | None
    crop_key: str


@dataclass(frozen=True, slots=True)
class Told:
    """A message of ``faces.matches``: the digest covers value and headers."""

    face_id: UUID
    event_id: str
    user_id: UUID | None
    digest: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is there after a run.

    Attributes:
        ledger: every line.
        letters: every dead letter.
        faces: every row.
        crops: keys below ``crops/``.
        embeddings: kind (``sighting``, ``template``) of each embedding by its face.
        told: every match event.
        known: the enrolled person.
        photos: how many photos the gallery counts for that person.
    """

    ledger: Sequence[LedgerLine]
    letters: Sequence[DeadLetter]
    faces: Sequence[Face]
    crops: Collection[str]
    embeddings: Mapping[UUID, str]
    told: Sequence[Told]
    known: UUID
    photos: int


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that must not be.

    Attributes:
        sort: lost, doubled, wrong (an outcome, but not the right one) or stuck.
        what: of which event, and how.
    """

    sort: Literal["lost", "doubled", "wrong", "stuck"]
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the count came to.

    Attributes:
        flaws: all of them; none in a good run.
        outcomes: how many events had each outcome.
        repeated_matches: match events told again, word for word.
        repeated_letters: dead letters kept again, of one and the same message.
    """

    flaws: tuple[Flaw, ...]
    outcomes: Mapping[str, int]
    repeated_matches: int
    repeated_letters: int

    def count(self, sort: str) -> int:
        """How many flaws of a sort."""
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
_TOLD = frozenset({Expect.KNOWN, Expect.UNKNOWN, Expect.FOUND, Expect.NOT_FOUND})
_IS_KNOWN = frozenset({Expect.KNOWN, Expect.ENROLLED, Expect.FOUND})


def judge(published: Sequence[Event], evidence: Evidence) -> Verdict:
    """Hold what is there against what was published."""
    lines: dict[tuple[str, str], list[LedgerLine]] = defaultdict(list)
    for line in evidence.ledger:
        lines[line.source, line.id].append(line)
    letters: dict[str, list[DeadLetter]] = defaultdict(list)
    for letter in evidence.letters:
        letters[letter.address].append(letter)
    faces: dict[UUID, list[Face]] = defaultdict(list)
    for face in evidence.faces:
        faces[face.event_uuid].append(face)
    told: dict[UUID, list[Told]] = defaultdict(list)
    for message in evidence.told:
        told[message.face_id].append(message)

    flaws: list[Flaw] = []
    outcomes: Counter[str] = Counter()
    settled_faces: set[UUID] = set()
    for event in published:
        own = lines.pop((event.source, event.id), [])
        buried = [letters.pop(address, []) for address in event.copies]
        flaws += _outcome(event, own, [kept for kept in buried if kept])
        outcomes[event.expect] += 1
        if len(own) == 1 and own[0].outcome == _LEDGER_OUTCOME.get(event.expect):
            face_id = uuid5(NAMESPACE, f"{event.source}|{event.id}|{own[0].model}|0")
            settled_faces.add(face_id)
            flaws += _effects(
                event, face_id, faces.pop(event.uuid, []), told.get(face_id, ()), evidence
            )
    flaws += _left_over(lines, letters, faces, settled_faces, evidence)
    enrolled = outcomes[Expect.ENROLLED]
    if evidence.photos != enrolled:
        sort: Literal["lost", "doubled"] = "lost" if evidence.photos < enrolled else "doubled"
        flaws.append(Flaw(sort, f"the gallery counts {evidence.photos} photos of {enrolled}"))
    return Verdict(
        tuple(flaws),
        outcomes,
        len(evidence.told) - len(told),
        len(evidence.letters) - len({letter.address for letter in evidence.letters}),
    )


def told_times(published: Sequence[Event], evidence: Evidence) -> dict[UUID, datetime]:
    """When each event had its outcome and the world was told, by the event's UUID."""
    lines = {(line.source, line.id): line.told_at for line in evidence.ledger}
    letters = {letter.address: letter.told_at for letter in reversed(evidence.letters)}
    times = {}
    for event in published:
        moments = [lines.get((event.source, event.id)), *map(letters.get, event.copies)]
        if known := [moment for moment in moments if moment is not None]:
            times[event.uuid] = max(known)
    return times


def _outcome(
    event: Event, lines: Sequence[LedgerLine], buried: Sequence[Sequence[DeadLetter]]
) -> Iterator[Flaw]:
    """One outcome, and the right one."""
    name = f"{event.source} {event.id} ({event.expect})"
    if not lines and not buried:
        yield Flaw("lost", f"{name} has no outcome")
    if len(lines) > 1:
        yield Flaw("doubled", f"{name} has {len(lines)} lines in the ledger")
    if lines and buried:
        yield Flaw("doubled", f"{name} is in the ledger and a dead letter")
    if event.expect is Expect.DEAD_LETTER:
        if lines:
            yield Flaw("wrong", f"{name} has the outcome {lines[0].outcome}")
        elif 0 < len(buried) < len(event.copies):
            yield Flaw("lost", f"{name}: {len(event.copies) - len(buried)} copies have no letter")
    elif buried:
        yield Flaw("wrong", f"{name} is a dead letter: {buried[0][0].reason}")
    for kept in buried:
        if not all(letter.intact for letter in kept):
            yield Flaw("lost", f"{name}: its dead letter is not what was sent")
    yield from (
        Flaw("wrong", f"{name} has the outcome {line.outcome}")
        for line in lines
        if event.expect is not Expect.DEAD_LETTER and line.outcome != _LEDGER_OUTCOME[event.expect]
    )
    yield from (Flaw("lost", f"{name} was never announced") for line in lines if not line.told_at)


def _effects(
    event: Event,
    face_id: UUID,
    rows: Sequence[Face],
    told: Sequence[Told],
    evidence: Evidence,
) -> Iterator[Flaw]:
    """Row, crop, embedding and match event of the one face, where there is to be one."""
    name = f"{event.source} {event.id} ({event.expect})"
    person = evidence.known if event.expect in _IS_KNOWN else None
    stored = _STORED.get(event.expect)
    if stored is not None:
        yield from _stored(name, face_id, rows, (stored, person), evidence)
    elif rows:
        yield Flaw("doubled", f"{name} has {len(rows)} rows, none is wanted")
    if event.expect not in _TOLD:
        if told:
            yield Flaw("doubled", f"{name}: a match event, none is wanted")
        return
    if not told:
        yield Flaw("lost", f"{name}: no match event")
    if len({message.digest for message in told}) > 1:
        yield Flaw("doubled", f"{name}: match events that differ")
    if any(message.user_id != person for message in told):
        yield Flaw("wrong", f"{name}: the match event names another")


def _stored(
    name: str,
    face_id: UUID,
    rows: Sequence[Face],
    wanted: tuple[str, UUID | None],
    evidence: Evidence,
) -> Iterator[Flaw]:
    """The one row, its crop, and its embedding of the wanted kind and person."""
    kind, person = wanted
    if [row.face_id for row in rows] != [face_id]:
        sort: Literal["lost", "doubled"] = "doubled" if rows else "lost"
        yield Flaw(sort, f"{name} has {len(rows)} rows, wanted is {face_id}")
        return
    (row,) = rows
    if row.user_id != person:
        yield Flaw("wrong", f"{name} was taken for {row.user_id}")
    if row.crop_key not in evidence.crops:
        yield Flaw("lost", f"{name}: a row without its crop")
    if evidence.embeddings.get(face_id) != kind:
        yield Flaw("lost", f"{name}: a row without its embedding")


def _left_over(
    lines: Mapping[tuple[str, str], Sequence[LedgerLine]],
    letters: Mapping[str, Sequence[DeadLetter]],
    faces: Mapping[UUID, Sequence[Face]],
    settled_faces: Collection[UUID],
    evidence: Evidence,
) -> Iterator[Flaw]:
    """What belongs to no event, or to no face of one."""
    for source, identifier in lines:
        yield Flaw("doubled", f"the ledger has {source} {identifier}, which nobody published")
    for address, kept in letters.items():
        yield Flaw("doubled", f"a dead letter of {address} ({kept[0].reason}), which is no event")
    for rows in faces.values():
        yield from (Flaw("doubled", f"row {row.face_id} of no settled event") for row in rows)
    owned = {row.face_id for row in evidence.faces}
    keys = {row.crop_key for row in evidence.faces}
    for key in sorted(set(evidence.crops) - keys):
        yield Flaw("doubled", f"crop {key} without a row")
    for face_id in evidence.embeddings.keys() - owned:
        yield Flaw("doubled", f"embedding {face_id} without a row")
    for face_id in {message.face_id for message in evidence.told} - set(settled_faces):
        yield Flaw("doubled", f"a match event of face {face_id}, which is no event's")
