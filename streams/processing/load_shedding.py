"""Which waiting frames are dropped when the workers are behind.

A frame is stale if it is older than its camera's limit *and* a newer frame of the same camera waits
after it. So the newest known frame of a camera is always processed, however late it is, and while
nothing waits nothing is dropped.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import NamedTuple

from domain.failures import Reject
from streams.contract.camera_clocks import ClockPolicy
from streams.contract.envelope import DEFAULT_CLOCKS, decode
from streams.contract.message import Message
from streams.contract.topics import Topics
from streams.dead_letters.dead_letter import is_replayed


class Waiting(NamedTuple):
    """A frame that waits.

    Attributes:
        camera: id of the camera.
        captured_at: when it was taken (the trusted time), seconds since the epoch.
    """

    camera: str
    captured_at: float


@dataclass(frozen=True, slots=True)
class SheddingPolicy:
    """How old a camera's frame may be.

    Attributes:
        default: seconds, for cameras without their own limit; None: any age.
        by_camera: seconds by camera id; None: any age.
    """

    default: float | None
    by_camera: Mapping[str, float | None]

    @property
    def drops_anything(self) -> bool:
        """Whether any camera has a limit."""
        return self.default is not None or any(
            limit is not None for limit in self.by_camera.values()
        )

    def limit(self, camera: str) -> float | None:
        """Seconds that a frame of this camera may be old; None: any age."""
        return self.by_camera.get(camera, self.default)


def stale(waiting: Sequence[Waiting | None], policy: SheddingPolicy, now: float) -> list[bool]:
    """For each waiting message, whether it is dropped.

    Args:
        waiting: in the order of delivery; None for a message that is never dropped.
        policy: how old a frame may be.
        now: seconds since the epoch.
    """
    newest: dict[str, tuple[float, int]] = {}
    for place, frame in enumerate(waiting):
        if frame is not None:
            age = (frame.captured_at, place)
            newest[frame.camera] = max(newest.get(frame.camera, age), age)

    def judge(place: int, frame: Waiting | None) -> bool:
        if frame is None or newest[frame.camera][1] == place:
            return False
        limit = policy.limit(frame.camera)
        return limit is not None and now - frame.captured_at > limit

    return [judge(place, frame) for place, frame in enumerate(waiting)]


def frame_reader(
    topics: Topics, clocks: ClockPolicy = DEFAULT_CLOCKS
) -> Callable[[Message], Waiting | None]:
    """A function that reads the camera and time of a frame from a message's headers."""

    def read(message: Message) -> Waiting | None:
        # A replayed frame is always old, and the operator wants it to be processed.
        if message.partition.topic != topics.frames or is_replayed(message.headers):
            return None
        try:
            event = decode(message, topics, clocks).event
        except Reject:
            return None
        return Waiting(event.key, event.at.timestamp())

    return read


def shedder(
    policy: SheddingPolicy, read: Callable[[Message], Waiting | None]
) -> Callable[[Sequence[Message]], Sequence[Message]]:
    """A function that chooses which waiting messages are dropped.

    Args:
        policy: how old a frame may be.
        read: returns camera and time of a frame; None for a message that is never dropped.
    """

    def shed(waiting: Sequence[Message]) -> Sequence[Message]:
        frames = [read(message) for message in waiting]
        judged = stale(frames, policy, time())
        return [message for message, old in zip(waiting, judged, strict=True) if old]

    return shed
