"""Reading and replaying dead letters.

A replayed message has the bytes of the original, without the headers of the dead letter. It keeps
its identity: a bare message, whose id is its position in Kafka, gets attributes with that position.
``fecapass_replay_of`` names the dead letter, ``fecapass_replay_attempts`` is the number of earlier
attempts, ``fecapass_replay_timestamp`` is the time of the original.

If a worker ends after it wrote a dead letter and before it committed the offset, the dead letter is
written twice. Both copies have the same ``dlq_id`` (`dead_letter_id`), and count as one.

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

#: Number of digits of the largest 64-bit number; Kafka's numbers are not larger.
_MAX_DIGITS = 19

Headers = Sequence[tuple[str, bytes]]

#: Headers that a replayed bare message gets; those of the same name in the original are dropped.
_SET_ON_BARE = frozenset(
    {"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject"}
)


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
        attributes: the values of the ``dlq_`` headers, by name without the prefix.
        size: bytes of the value.
    """

    place: Partition
    offset: int
    key: bytes | None
    value: bytes = field(repr=False)
    headers: Headers
    attributes: dict[str, str]
    size: int

    def without_value(self) -> "DeadLetter":
        """The same without the image, for listings."""
        return replace(self, value=b"")

    @property
    def address(self) -> str:
        """``topic/partition/offset`` of the dead letter."""
        return f"{self.place.topic}/{self.place.number}/{self.offset}"

    @property
    def original(self) -> str | None:
        """``topic/partition/offset`` of the original; None if it is unknown."""
        parts = [self.attributes.get(name) for name in ("topic", "partition", "offset")]
        return None if None in parts else "/".join(part or "" for part in parts)

    @property
    def id(self) -> str:
        """Identifier, the same for every copy: ``dlq_id``, or computed by the same rule."""
        if self.attributes.get("id"):
            return self.attributes["id"]
        place = [_number(self.attributes.get(name)) for name in ("partition", "offset")]
        topic, (partition, offset) = self.attributes.get("topic"), place
        if topic is None or partition is None or offset is None:
            return self.address  # not written by Fecapass: the original is unknown
        stamp = _number(self.attributes.get("timestamp")) or 0
        return str(dead_letter_id(Partition(topic, partition), offset, stamp, self.headers))

    @property
    def reason(self) -> str:
        """Why the message could not be processed; ``unknown`` without such a header."""
        return self.attributes.get("reason", "unknown")

    @property
    def event_id(self) -> str | None:
        """The event's ``ce_id``; of a bare message the original's address."""
        return _attribute(self.headers, "ce_id") or self.original

    @property
    def attempts(self) -> int:
        """The number of attempts, including those before a replay."""
        return _number(self.attributes.get("attempts")) or 0

    @property
    def written_at(self) -> datetime | None:
        """When it was written; None if it is unknown."""
        try:
            moment = datetime.fromisoformat(self.attributes.get("time", ""))
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
        headers: as sent, without those of earlier dead letters and replays.
    """
    address = f"{partition.topic}/{partition.number}/{offset}"
    source = _attribute(headers, "ce_source") or f"{partition.topic}@{milliseconds}"
    event = event_uuid(source, _attribute(headers, "ce_id") or address)
    return uuid5(NAMESPACE, f"dead letter|{address}|{event}")


def is_replayed(headers: Headers) -> bool:
    """Whether a message was sent by a replay."""
    return any(name.lower().startswith(REPLAY_PREFIX) for name, _ in headers)


def attempts_before(headers: Headers) -> int:
    """The number of attempts before a message was replayed; 0 if it was not replayed."""
    return _number(_attribute(headers, f"{REPLAY_PREFIX}attempts")) or 0


def first_timestamp(message: Message) -> int:
    """Kafka's timestamp of a message, or of the original if it is a replay, in milliseconds."""
    return round(max(timestamp_of(message), 0.0) * 1000)


def original_headers(headers: Headers) -> list[tuple[str, bytes]]:
    """The headers as first sent: without those that dead letters and replays add."""
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


def receipt(dead_letter: DeadLetter, now: datetime) -> Outgoing:
    """The record that a dead letter was replayed."""
    headers = [
        (RECEIPT_HEADER, dead_letter.address.encode()),
        (f"{DLQ_PREFIX}id", dead_letter.id.encode()),
        (f"{DLQ_PREFIX}time", now.isoformat().encode()),
    ]
    return Outgoing(
        dead_letter.place.topic, dead_letter.key, b"", headers, dead_letter.place.number
    )


def read_dead_letter(
    place: Partition, offset: int, key: bytes | None, value: bytes | None, headers: Headers
) -> DeadLetter:
    """Read a message of a dead-letter topic that is not a receipt."""
    attributes = {
        name.lower().removeprefix(DLQ_PREFIX): (text or b"").decode(errors="replace")
        for name, text in headers
        if name.lower().startswith(DLQ_PREFIX)
    }
    content = value or b""
    return DeadLetter(
        place, offset, key, content, original_headers(headers), attributes, len(content)
    )


def restore_original(dead_letter: DeadLetter, topics: Topics) -> Outgoing:
    """The original message, to be sent again.

    Raises:
        NotReplayable: the dead letter does not contain all of the original.
    """
    if (left_out := dead_letter.attributes.get("value_left_out")) is not None:
        raise NotReplayable(f"its value ({left_out} bytes) was too large to be kept")
    topic = dead_letter.place.topic.removesuffix(topics.dead_letter(""))
    headers, key = list(dead_letter.headers), dead_letter.key
    if topic in (topics.frames, topics.uploads):
        headers, key = _identified(dead_letter, topic, topics)
    headers.append((f"{REPLAY_PREFIX}of", dead_letter.address.encode()))
    headers.append((f"{REPLAY_PREFIX}attempts", str(dead_letter.attempts).encode()))
    if (stamp := _number(dead_letter.attributes.get("timestamp"))) is not None:
        headers.append((REPLAY_TIMESTAMP, str(stamp).encode()))
    return Outgoing(
        topic, key, dead_letter.value, headers, _number(dead_letter.attributes.get("partition"))
    )


def _identified(
    dead_letter: DeadLetter, topic: str, topics: Topics
) -> tuple[list[tuple[str, bytes]], bytes | None]:
    """Headers and key that identify the same event at any position in Kafka."""
    stamp = _number(dead_letter.attributes.get("timestamp"))
    is_bare = not _has(dead_letter.headers, "ce_specversion")
    if not is_bare and _attribute(dead_letter.headers, "ce_time"):
        return list(dead_letter.headers), dead_letter.key
    if stamp is None and not is_bare:
        return list(dead_letter.headers), dead_letter.key
    partition, offset = (
        _number(dead_letter.attributes.get(name)) for name in ("partition", "offset")
    )
    if stamp is None or partition is None or offset is None:
        raise NotReplayable("it is a bare message, and the dead letter lacks its original position")
    original = Message(Partition(topic, partition), offset, dead_letter.key, b"", (), stamp / 1000)
    try:
        source, event_id, moment = bare_identity(original)
    except Reject as error:
        raise NotReplayable(str(error)) from error
    attributes = {"ce_time": moment.isoformat()}
    key = dead_letter.key
    if is_bare:
        kind = default_kind(topic, topics)
        attributes |= {
            "ce_specversion": SPEC_VERSION,
            "ce_id": event_id,
            "ce_source": source,
            "ce_type": kind.value,
        }
        key = dead_letter.key or bare_key(kind, event_id).encode()
    kept = [
        (name, value)
        for name, value in dead_letter.headers
        if name.lower() not in (_SET_ON_BARE if is_bare else {"ce_time"})
        and not (is_bare and _is_structured(name, value))
    ]
    return [*kept, *((name, text.encode()) for name, text in attributes.items())], key


def _is_structured(name: str, value: bytes) -> bool:
    """Whether a header names the structured mode: ignored in a bare message, refused in others."""
    return name.lower() == "content-type" and (value or b"").lower().startswith(
        b"application/cloudevents"
    )


def _has(headers: Iterable[tuple[str, bytes]], wanted: str) -> bool:
    return any(name.lower() == wanted for name, _ in headers)


def _attribute(headers: Headers, wanted: str) -> str | None:
    """The last header of a name, as text; None if there is none or it is empty."""
    found = None
    for name, value in headers:
        if name.lower() == wanted:
            found = (value or b"").decode(errors="replace")
    return found or None


def _number(text: str | None) -> int | None:
    """The number in a header; None if it is not one or has more digits than Kafka's numbers."""
    written = text is not None and text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    return int(text or "") if written else None
