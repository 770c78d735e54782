"""A person who comes into an empty room, stays and leaves: frames of a clip, put together.

Where the person is in the clip, the room is what is left and right of it; the person's part of each
frame slides over it.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from benchmarks.load.frames import Picture
from benchmarks.video.clips import SensorNoise, there_and_back
from infra.cameras.encoding import JpegEncoder

RATE = 25

#: Columns of a clip with the person in it, as shares of its width.
PERSON = (0.24, 0.72)
_FEATHER = 12
_QUALITY = 85
_EMPTY_SECONDS, _STAY_SECONDS = 2, 3


def empty_room(frame: Picture) -> Picture:
    """A frame without the person: what is left of the person fades into what is right of it."""
    left, right = (round(share * frame.shape[1]) for share in PERSON)
    room = frame.astype(np.float32)
    fade = np.linspace(0, 1, right - left, dtype=np.float32)[None, :, None]
    room[:, left:right] = room[:, left - 1 : left] * (1 - fade) + room[:, right : right + 1] * fade
    return room.astype(np.uint8)


def visit(clip: Sequence[Picture], pixels_per_second: float) -> Iterator[bytes]:
    """JPEGs of a visit, 25 a second.

    Args:
        clip: the frames of a clip with one person in the middle.
        pixels_per_second: how fast the person comes and goes.
    """
    room = empty_room(clip[0])
    height, width = room.shape[:2]
    noise, encoder = SensorNoise(width, height), JpegEncoder(_QUALITY)
    # From outside of the frame on the right, to the place in the clip.
    away = width - round(PERSON[0] * width)
    steps = round(away / pixels_per_second * RATE)
    coming = [round(away * (1 - step / steps)) for step in range(steps)]
    empty = [width] * (_EMPTY_SECONDS * RATE)
    offsets = [*empty, *coming, *[0] * (_STAY_SECONDS * RATE), *reversed(coming), *empty]
    for number, offset in enumerate(offsets):
        person = clip[there_and_back(number, len(clip))]
        yield encoder.encode(noise.on(with_person(room, person, offset)))


def with_person(room: Picture, person: Picture, offset: int) -> Picture:
    """The room with the person's part of a frame, moved to the right by ``offset`` pixels."""
    width = room.shape[1]
    left, right = (round(share * width) for share in PERSON)
    visible = min(right - left, width - left - offset)
    if visible <= 0:
        return room
    mask = np.zeros((1, right - left), np.float32)
    mask[:, _FEATHER:-_FEATHER] = 1
    soft = cv2.blur(mask, (2 * _FEATHER, 1))[:, :visible, None]
    shown = room.astype(np.float32)
    place = np.s_[:, left + offset : left + offset + visible]
    shown[place] += soft * (person[:, left : left + visible] - shown[place])
    return np.clip(shown, 0, 255).astype(np.uint8)
