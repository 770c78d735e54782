"""The messages of ``frames.processed``: each frame that was processed, also without a face."""

from domain.events import EventKind, ProcessedFrame, utc_now
from domain.store_rows import KIND_NAMES, EventResult, LedgerRow
from streams.clients.durable_producer import Outgoing
from streams.contract.envelope import processed_headers
from streams.contract.topics import Topics
from streams.contract.value_codec import processed_to_json


def processed_now(result: EventResult, topics: Topics) -> Outgoing:
    """The message about a frame that was committed just now."""
    event = result.event
    frame = ProcessedFrame(
        event_id=event.id,
        camera_id=event.key,
        captured_at=event.captured_at,
        faces=result.face_count,
        width=result.width,
        height=result.height,
        processed_at=utc_now(),
    )
    return _outgoing(event.source, frame, topics)


def processed_before(row: LedgerRow, topics: Topics) -> Outgoing:
    """The same of a frame in the ledger, with the time of its commit."""
    frame = ProcessedFrame(
        event_id=row.id,
        camera_id=row.key,
        captured_at=row.captured_at,
        faces=row.face_count,
        width=row.width,
        height=row.height,
        processed_at=row.processed_at,
    )
    return _outgoing(row.source, frame, topics)


def is_frame(row: LedgerRow) -> bool:
    """Whether a camera sent the event of a row."""
    return row.kind == KIND_NAMES[EventKind.FRAME]


def _outgoing(source: str, frame: ProcessedFrame, topics: Topics) -> Outgoing:
    return Outgoing(
        topics.processed,
        frame.camera_id.encode(),
        processed_to_json(frame),
        processed_headers(source, frame),
    )
