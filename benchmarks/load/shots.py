"""What cameras send: one frame after the other, with the camera and the time of each."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from benchmarks.load.frames import FrameSet
from domain.events import EventKind, ImageEvent, utc_now


class Shot(NamedTuple):
    """A frame that is sent.

    Attributes:
        camera: its key.
        captured_at: its ``ce_time``.
        jpeg: the picture.
    """

    camera: str
    captured_at: datetime
    jpeg: bytes

    def event(self, source: str, name: str) -> ImageEvent:
        """The event that it is sent with, of this ``ce_source`` and ``ce_id``."""
        return ImageEvent(
            kind=EventKind.FRAME,
            source=source,
            id=name,
            key=self.camera,
            captured_at=self.captured_at,
        )


def shot_now(frames: FrameSet, number: int, cameras: int) -> Shot:
    """Shot ``number`` of a set that is sent again and again; the cameras take turns."""
    jpeg = frames.jpegs[number % len(frames.jpegs)]
    return Shot(f"camera-{number % cameras}", utc_now(), jpeg)


def repeated(frames: FrameSet, count: int, cameras: int) -> Iterator[Shot]:
    """So many shots of a set, each taken when it is sent; see `shot_now`."""
    return (shot_now(frames, number, cameras) for number in range(count))
