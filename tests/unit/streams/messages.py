"""Messages made by hand, for tests that need no broker."""

from collections.abc import Callable

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
    acknowledge: Callable[[], object] = lambda: None,
) -> Message:
    return Message(Partition(topic, number), offset, key, value, headers, timestamp, acknowledge)


class Log:
    """Remembers in which order the offsets of each partition were acknowledged."""

    def __init__(self) -> None:
        self.offsets: dict[int, list[int]] = {}

    def delivery(self, offset: int, number: int = 0) -> Message:
        def note() -> None:
            self.offsets.setdefault(number, []).append(offset)

        return delivery(offset, number=number, acknowledge=note)
