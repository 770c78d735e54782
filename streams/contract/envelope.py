"""CloudEvents 1.0 on Kafka, binary content mode: attributes in headers, data in the value.

Source: CloudEvents 1.0.2, "Kafka Protocol Binding", section 3.2; the ``dataref`` attribute is the
"Claim Check" extension. A message without ``ce_specversion`` is a *bare* message: it gets its id,
source and time from its position in Kafka.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec import structs

from domain.events import EventKind, FaceMatch, ImageEvent, ProcessedFrame, utc_now
from domain.failures import Reject
from domain.visit_events import VisitMessage
from streams.contract import rfc3339
from streams.contract.camera_clocks import ClockPolicy, arrival, seen_at
from streams.contract.message import Message
from streams.contract.topics import Topics

SPEC_VERSION = "1.0"
MATCH_SOURCE = "fecapass/identify"
VISIT_SOURCE = "fecapass/visits"
DETECTED_TYPE = "fecapass.faces.detected"
PROCESSED_TYPE = "fecapass.frame.processed"

#: Longest identifier (key, id, source, subject) that is accepted, in bytes of UTF-8.
MAX_IDENTIFIER_BYTES = 512

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNKNOWN_CAMERA = "unknown"

DEFAULT_CLOCKS = ClockPolicy()

#: On a replayed message: Kafka's timestamp of the original, in milliseconds.
REPLAY_TIMESTAMP = "fecapass_replay_timestamp"
_MAX_DIGITS = 19

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Envelope:
    """The decoded headers of a message of ``camera.frames`` or ``photo.uploads``.

    Attributes:
        event: who sent the image, when, and for which purpose.
        dataref: the address of the image when the value is empty (``s3://bucket/key``).
    """

    event: ImageEvent
    dataref: str | None


def decode(message: Message, topics: Topics, clocks: ClockPolicy = DEFAULT_CLOCKS) -> Envelope:
    """Read the envelope of a frame or an upload.

    Args:
        message: the message.
        topics: names of the topics.
        clocks: how far a camera's clock may be wrong.

    Raises:
        Reject: ``bad_header``, ``bad_key``, ``missing_attribute``, ``unsupported_specversion``,
            ``unsupported_mode``, ``unknown_type``, ``bad_time`` or ``empty``.
    """
    headers = _attributes(message)
    kind = default_kind(message.partition.topic, topics)
    key = _key(message)
    if "ce_specversion" in headers:
        event = _cloud_event(headers, key, message, kind)
    else:
        source, event_id, captured_at = bare_identity(message)
        event = ImageEvent(
            kind=kind,
            source=source,
            id=event_id,
            key=key or bare_key(kind, event_id),
            captured_at=captured_at,
        )
    dataref = headers.get("ce_dataref")
    if not message.value and not dataref:
        raise Reject("empty", "the value is empty and there is no ce_dataref header")
    event = with_trusted_time(event, message, clocks)
    return Envelope(event, dataref if not message.value else None)


def with_trusted_time(event: ImageEvent, message: Message, clocks: ClockPolicy) -> ImageEvent:
    """The event of a message, with ``seen_at`` if its own time is not trusted."""
    timestamp = timestamp_of(message)
    by_broker = message.by_broker and timestamp == message.timestamp
    arrived_at = arrival(timestamp, utc_now(), clocks, by_broker=by_broker)
    instead = seen_at(event.at, arrived_at, clocks)
    return event if instead is None else structs.replace(event, seen_at=instead)


def timestamp_of(message: Message) -> float:
    """Kafka's timestamp of a message, or of the original if it is a replay, in seconds."""
    for name, value in message.headers:
        digits = value or b""
        if name.lower() == REPLAY_TIMESTAMP and digits.isdigit() and len(digits) <= _MAX_DIGITS:
            return int(digits) / 1000
    return message.timestamp


def default_kind(topic: str, topics: Topics) -> EventKind:
    """The purpose of an image on this topic whose headers do not name one."""
    return EventKind.SEARCH if topic == topics.uploads else EventKind.FRAME


def bare_identity(message: Message) -> tuple[str, str, datetime]:
    """Source, id and time of a message that does not name them, from its position in Kafka.

    The source is the topic and Kafka's timestamp in milliseconds, which are the same when the
    message is delivered again. The position alone identifies a message only while its topic exists:
    when a topic is created again, as on every start of the embedded broker, offsets start at 0
    again, and new frames would look like frames that are already processed.

    Raises:
        Reject: ``bad_time``.
    """
    milliseconds = round(max(message.timestamp, 0.0) * 1000)
    source = f"{message.partition.topic}@{milliseconds}"
    return source, message.address, _kafka_time(message)


def bare_key(kind: EventKind, event_id: str) -> str:
    """The key (camera or upload) of a message without headers and key."""
    return _UNKNOWN_CAMERA if kind is EventKind.FRAME else event_id


def encode_headers(
    event: ImageEvent, content_type: str | None, dataref: str | None = None
) -> Headers:
    """Headers with which a producer publishes an image.

    Args:
        event: describes the image.
        content_type: media type of the value, for example ``image/jpeg``; None with a claim check.
        dataref: the address of the image (``s3://bucket/key``) when the value is left empty.
    """
    attributes = {
        "ce_specversion": SPEC_VERSION,
        "ce_id": event.id,
        "ce_source": event.source,
        "ce_type": event.kind.value,
        "ce_time": event.captured_at.isoformat(),
        "ce_subject": event.subject,
        "ce_dataref": dataref,
        "ce_force": "true" if event.force else None,
        "content-type": content_type,
    }
    return _headers(attributes)


def detected_headers(event: ImageEvent) -> Headers:
    """Headers of ``faces.detected``: the identity of the event that the faces were found in."""
    return _headers(
        {
            "ce_specversion": SPEC_VERSION,
            "ce_id": event.id,
            "ce_source": event.source,
            "ce_type": DETECTED_TYPE,
            "ce_time": event.captured_at.isoformat(),
            "content-type": "application/vnd.msgpack",
        }
    )


def match_headers(match: FaceMatch) -> Headers:
    """Headers of ``faces.matches``; the face's id is the event's, so consumers can deduplicate."""
    return _headers(
        {
            "ce_specversion": SPEC_VERSION,
            "ce_id": match.name,
            "ce_source": MATCH_SOURCE,
            "ce_type": match.type.value,
            "ce_time": match.captured_at.isoformat(),
            "ce_subject": str(match.user_id) if match.user_id else None,
            "content-type": "application/json",
        }
    )


def processed_headers(source: str, frame: ProcessedFrame) -> Headers:
    """Headers of ``frames.processed``: the identity of the frame.

    Args:
        source: ``ce_source`` of the frame.
        frame: the value of the message.
    """
    return _headers(
        {
            "ce_specversion": SPEC_VERSION,
            "ce_id": frame.event_id,
            "ce_source": source,
            "ce_type": PROCESSED_TYPE,
            "ce_time": frame.captured_at.isoformat(),
            "content-type": "application/json",
        }
    )


def visit_headers(message: VisitMessage) -> Headers:
    """Headers of ``faces.visits``; each announcement of a visit is an event of its own."""
    visit = message.visit
    return _headers(
        {
            "ce_specversion": SPEC_VERSION,
            "ce_id": f"{visit.visit_id}/{visit.revision}",
            "ce_source": VISIT_SOURCE,
            "ce_type": message.type.value,
            "ce_time": visit.last_seen_at.isoformat(),
            "ce_subject": str(visit.user_id) if visit.user_id else None,
            "content-type": "application/json",
        }
    )


def cloud_event_headers(attributes: Mapping[str, str | None]) -> Headers:
    """Headers of a message of any type; those without a value are left out."""
    return _headers({"ce_specversion": SPEC_VERSION, **attributes})


def _headers(attributes: Mapping[str, str | None]) -> Headers:
    return [(name, value.encode()) for name, value in attributes.items() if value is not None]


def _attributes(message: Message) -> dict[str, str]:
    """The CloudEvents headers and the content type, as text; of repeated ones the last counts."""
    attributes = {}
    for name, value in message.headers:
        lowered = name.lower()
        if lowered.startswith("ce_") or lowered == "content-type":
            try:
                attributes[lowered] = (value or b"").decode()
            except UnicodeDecodeError:
                raise Reject("bad_header", f"header {lowered!r:.80} is not UTF-8") from None
    return attributes


def _key(message: Message) -> str | None:
    if not message.key:
        return None
    try:
        return identifier(message.key.decode(), "the key", "bad_key")
    except UnicodeDecodeError:
        raise Reject("bad_key", "the key is not UTF-8") from None


def identifier(text: str, name: str, reason: str = "bad_header") -> str:
    """Return a text if it is a valid identifier: of bounded length, without control characters.

    Raises:
        Reject: with ``reason``; it is not.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_IDENTIFIER_BYTES:
        raise Reject(reason, f"{name} is longer than {MAX_IDENTIFIER_BYTES} bytes")
    if _CONTROL_CHARACTERS.search(text):
        raise Reject(reason, f"{name} contains control characters")
    return text


def _cloud_event(
    headers: Mapping[str, str], key: str | None, message: Message, default_kind: EventKind
) -> ImageEvent:
    version = headers["ce_specversion"]
    if not version.startswith("1."):
        raise Reject("unsupported_specversion", f"ce_specversion {version!r:.80}, expected 1.0")
    if headers.get("content-type", "").lower().startswith("application/cloudevents"):
        raise Reject("unsupported_mode", "structured content mode; expected binary mode")
    event_id = _required(headers, "ce_id")
    source = _required(headers, "ce_source")
    subject = headers.get("ce_subject")
    kind = _kind(_required(headers, "ce_type"), default_kind)
    return ImageEvent(
        kind=kind,
        source=source,
        id=event_id,
        key=key or (source if default_kind is EventKind.FRAME else event_id),
        captured_at=_time(headers.get("ce_time")) or _kafka_time(message),
        subject=identifier(subject, "ce_subject") if subject else None,
        force=kind is EventKind.ENROL and _flag(headers, "ce_force"),
    )


def _flag(headers: Mapping[str, str], name: str) -> bool:
    """A boolean attribute, as CloudEvents writes it.

    Raises:
        Reject: ``bad_header``; it is neither ``true`` nor ``false``.
    """
    value = headers.get(name) or "false"
    if value not in {"true", "false"}:
        raise Reject("bad_header", f"{name} is {value!r:.80}, expected true or false")
    return value == "true"


def _required(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise Reject("missing_attribute", f"header {name} is missing or empty")
    return identifier(value, name)


def _kind(text: str, default_kind: EventKind) -> EventKind:
    """The kind of an event, from its type.

    Raises:
        Reject: ``unknown_type``; the type does not belong on this topic.
    """
    allowed = (
        {EventKind.FRAME}
        if default_kind is EventKind.FRAME
        else {EventKind.ENROL, EventKind.SEARCH}
    )
    for kind in allowed:
        if text == kind:
            return kind
    raise Reject("unknown_type", f"ce_type {text!r:.80} does not belong on this topic")


def _time(text: str | None) -> datetime | None:
    """An RFC 3339 time.

    Raises:
        Reject: ``bad_time``; it is not one, or has no offset from UTC.
    """
    if not text:
        return None
    try:
        return rfc3339.parse(text)
    except ValueError as error:
        raise Reject("bad_time", f"ce_time {text!r:.80}: {error}") from None


def _kafka_time(message: Message) -> datetime:
    """Kafka's timestamp; a producer may choose it, and not every broker checks it.

    Raises:
        Reject: ``bad_time``; it is after the last year of the calendar.
    """
    try:
        return datetime.fromtimestamp(max(message.timestamp, 0.0), UTC)
    except (ValueError, OverflowError, OSError):
        raise Reject("bad_time", "Kafka's timestamp is out of range") from None
