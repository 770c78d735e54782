"""Reading and replaying dead letters.

A replayed message has the bytes of the original, without the headers of the dead letter. It keeps
its identity: a bare message, whose id is its position in Kafka, gets attributes with that position.
``fecapass_replay_of`` names the dead letter, ``fecapass_replay_attempts`` is the number of earlier
attempts, ``fecapass_replay_timestamp`` is the time of the original.

A worker that ends between writing a dead letter and committing its offset writes it twice. Both
copies have the same ``dlq_id`` (`dead_letter_id`), and count as one.

A *receipt* in the dead-letter topic records a replay: a message without a value whose header
``dlq_replayed`` names the dead letter.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID, uuid5

from domain.events import NAMESPACE, event_uuid
from domain.failures import Reject
from streams.clients.durable_producer import Outgoing
from streams.contract.envelope import (
    REPLAY_TIMESTAMP,
    SPEC_VERSION,
    bare_identity,
    bare_key,
    default_kind,
    timestamp_of,
)
from streams.contract.message import Message, Partition
from streams.contract.topics import Topics

DLQ_PREFIX = "dlq_"
REPLAY_PREFIX = "fecapass_replay_"
RECEIPT_HEADER = "dlq_replayed"

#: Of Kafka's own numbers, which have 64 bits.
_MOST_DIGITS = 19

Headers = Sequence[tuple[str, bytes]]

#: What a bare message may not say of itself, though such a header may be on it.
_OF_BARE = frozenset({"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject"})


class NotReplayable(Exception):
    """A dead letter cannot be replayed; the message says why."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter.

    Attributes:
        place: the partition of the dead letter.
        offset: its offset there.
        key: of the original.
        value: of the original.
        headers: of the original.
        told: what the ``dlq_`` headers say, by name without the prefix.
        size: bytes of the value.
    """

    place: Partition
    offset: int
    key: bytes | None
    value: bytes = field(repr=False)
    headers: Headers
    told: dict[str, str]
    size: int

    def without_value(self) -> "DeadLetter":
        """The same for a listing, which needs no images in memory."""
        return replace(self, value=b"")

    @property
    def address(self) -> str:
        """``topic/partition/offset`` of the dead letter."""
        return f"{self.place.topic}/{self.place.number}/{self.offset}"

    @property
    def original(self) -> str | None:
        """``topic/partition/offset`` of the original; None when it is unknown."""
        parts = [self.told.get(name) for name in ("topic", "partition", "offset")]
        return None if None in parts else "/".join(part or "" for part in parts)

    @property
    def id(self) -> str:
        """The same for every copy of this dead letter: ``dlq_id``, or what it would be."""
        if self.told.get("id"):
            return self.told["id"]
        place = [_number(self.told.get(name)) for name in ("partition", "offset")]
        topic, (partition, offset) = self.told.get("topic"), place
        if topic is None or partition is None or offset is None:
            return self.address  # not one of ours: its original is unknown
        stamp = _number(self.told.get("timestamp")) or 0
        return str(dead_letter_id(Partition(topic, partition), offset, stamp, self.headers))

    @property
    def reason(self) -> str:
        """Why the message could not be processed; ``unknown`` without such a header."""
        return self.told.get("reason", "unknown")

    @property
    def event_id(self) -> str | None:
        """The event's ``ce_id``; of a bare message the original's address."""
        return _attribute(self.headers, "ce_id") or self.original

    @property
    def attempts(self) -> int:
        """How often it was tried in all."""
        return _number(self.told.get("attempts")) or 0

    @property
    def buried_at(self) -> datetime | None:
        """When it was written; None when it is unknown."""
        try:
            moment = datetime.fromisoformat(self.told.get("time", ""))
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def dead_letter_id(partition: Partition, offset: int, milliseconds: int, headers: Headers) -> UUID:
    """Identifier of the dead letter of a message, the same for every worker and every copy.

    The offset alone is not enough: if a topic is created again, offsets begin at 0 again.

    Args:
        partition: the partition of the message.
        offset: its offset there.
        milliseconds: its timestamp in Kafka.
        headers: as sent, those of earlier dead letters and replays left out.
    """
    address = f"{partition.topic}/{partition.number}/{offset}"
    source = _attribute(headers, "ce_source") or f"{partition.topic}@{milliseconds}"
    event = event_uuid(source, _attribute(headers, "ce_id") or address)
    return uuid5(NAMESPACE, f"dead letter|{address}|{event}")


def is_replayed(headers: Headers) -> bool:
    """Whether a message was put back by a replay."""
    return any(name.lower().startswith(REPLAY_PREFIX) for name, _ in headers)


def attempts_before(headers: Headers) -> int:
    """How often a message was tried before it was replayed; 0 for one that never was."""
    return _number(_attribute(headers, f"{REPLAY_PREFIX}attempts")) or 0


def first_timestamp(message: Message) -> int:
    """Kafka's timestamp of a message, or of the one it is a replay of, in milliseconds."""
    return round(max(timestamp_of(message), 0.0) * 1000)


def original_headers(headers: Headers) -> list[tuple[str, bytes]]:
    """The headers as first sent: less those of burials and replays."""
    return [
        (name, value)
        for name, value in headers
        if not name.lower().startswith((DLQ_PREFIX, REPLAY_PREFIX))
    ]


def receipt_for(headers: Headers) -> str | None:
    """The address of the replayed dead letter in a receipt; None for other messages."""
    return _attribute(headers, RECEIPT_HEADER)


def receipt_names(headers: Headers) -> set[str]:
    """Address and id of the replayed dead letter in a receipt; empty for other messages."""
    names = (receipt_for(headers), _attribute(headers, f"{DLQ_PREFIX}id"))
    return {name for name in names if name} if names[0] is not None else set()


def receipt(letter: DeadLetter, now: datetime) -> Outgoing:
    """The record that a dead letter was replayed."""
    headers = [
        (RECEIPT_HEADER, letter.address.encode()),
        (f"{DLQ_PREFIX}id", letter.id.encode()),
        (f"{DLQ_PREFIX}time", now.isoformat().encode()),
    ]
    return Outgoing(letter.place.topic, letter.key, b"", headers, letter.place.number)


def read_dead_letter(
    place: Partition, offset: int, key: bytes | None, value: bytes | None, headers: Headers
) -> DeadLetter:
    """Read a message of a dead-letter topic that is no receipt."""
    told = {
        name.lower().removeprefix(DLQ_PREFIX): (text or b"").decode(errors="replace")
        for name, text in headers
        if name.lower().startswith(DLQ_PREFIX)
    }
    kept = value or b""
    return DeadLetter(place, offset, key, kept, original_headers(headers), told, len(kept))


def revive(letter: DeadLetter, topics: Topics) -> Outgoing:
    """The original as it is to be sent again.

    Raises:
        NotReplayable: the letter does not hold all of it.
    """
    if (left_out := letter.told.get("value_left_out")) is not None:
        raise NotReplayable(f"its value ({left_out} bytes) was too large to be kept")
    topic = letter.place.topic.removesuffix(topics.dead_letter(""))
    headers, key = list(letter.headers), letter.key
    if topic in (topics.frames, topics.uploads):
        headers, key = _identified(letter, topic, topics)
    headers.append((f"{REPLAY_PREFIX}of", letter.address.encode()))
    headers.append((f"{REPLAY_PREFIX}attempts", str(letter.attempts).encode()))
    if (stamp := _number(letter.told.get("timestamp"))) is not None:
        headers.append((REPLAY_TIMESTAMP, str(stamp).encode()))
    return Outgoing(topic, key, letter.value, headers, _number(letter.told.get("partition")))


def _identified(
    letter: DeadLetter, topic: str, topics: Topics
) -> tuple[list[tuple[str, bytes]], bytes | None]:
    """Headers and key that name the same event wherever the message lies."""
    stamp = _number(letter.told.get("timestamp"))
    is_bare = not _has(letter.headers, "ce_specversion")
    if not is_bare and _attribute(letter.headers, "ce_time"):
        return list(letter.headers), letter.key
    if stamp is None and not is_bare:
        return list(letter.headers), letter.key
    partition, offset = (_number(letter.told.get(name)) for name in ("partition", "offset"))
    if stamp is None or partition is None or offset is None:
        raise NotReplayable("it is a bare message, and the dead letter lacks its original position")
    original = Message(Partition(topic, partition), offset, letter.key, b"", (), stamp / 1000)
    try:
        source, event_id, moment = bare_identity(original)
    except Reject as error:
        raise NotReplayable(str(error)) from error
    attributes = {"ce_time": moment.isoformat()}
    key = letter.key
    if is_bare:
        kind = default_kind(topic, topics)
        attributes |= {
            "ce_specversion": SPEC_VERSION,
            "ce_id": event_id,
            "ce_source": source,
            "ce_type": kind.value,
        }
        key = letter.key or bare_key(kind, event_id).encode()
    kept = [
        (name, value)
        for name, value in letter.headers
        if name.lower() not in (_OF_BARE if is_bare else {"ce_time"})
        and not (is_bare and _is_structured(name, value))
    ]
    return [*kept, *((name, text.encode()) for name, text in attributes.items())], key


def _is_structured(name: str, value: bytes) -> bool:
    """A media type that means nothing on a bare message, and a refused mode on others."""
    return name.lower() == "content-type" and (value or b"").lower().startswith(
        b"application/cloudevents"
    )


def _has(headers: Iterable[tuple[str, bytes]], wanted: str) -> bool:
    return any(name.lower() == wanted for name, _ in headers)


def _attribute(headers: Headers, wanted: str) -> str | None:
    """The last header of a name, as text; None when there is none or it is empty."""
    found = None
    for name, value in headers:
        if name.lower() == wanted:
            found = (value or b"").decode(errors="replace")
    return found or None


def _number(text: str | None) -> int | None:
    """A number that we may have written; strangers' headers may have thousands of digits."""
    written = text is not None and text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text or "") if written else None
