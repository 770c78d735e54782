"""Messages made by hand, for tests that need no broker."""

from streams.contract.message import Message, Partition


def delivery(
    offset: int = 0,
    *,
    topic: str = "camera.frames",
    number: int = 0,
    key: bytes | None = b"door-1",
    value: bytes = b"image",
    headers: tuple[tuple[str, bytes], ...] = (),
    timestamp: float = 1_700_000_000.0,
) -> Message:
    return Message(Partition(topic, number), offset, key, value, headers, timestamp)
