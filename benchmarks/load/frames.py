"""Frames of a chosen size with a chosen number of faces, the same on every machine and run.

Faces of two people (an astronaut's portrait, a man in a car) are put onto a smooth background in a
grid, with place, size and brightness a little different from frame to frame. Both come out of
installed packages; a folder of portraits may be given for more variety.
"""

import math
import re
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from infra.cameras.encoding import JpegEncoder
from infra.cameras.sources import VideoSource
from infra.demo.sample_media import ASTRONAUT, CARPHONE

Picture = npt.NDArray[np.uint8]

#: Different pictures in a set; longer runs repeat them.
DISTINCT = 16
JPEG_QUALITY = 90

_SEED = 20_231
# Squares (x, y, side in pixels) around the face in each sample.
_ASTRONAUT_FACE = (130, 30, 190)
_CARPHONE_FACE = (45, 15, 100)
# First, end and step of the frames that are taken.
_CARPHONE_FRAMES = (0, 96, 12)
_PORTRAIT_SIDE = 190
#: Largest share of a grid cell, and of the frame's height, that a face with surroundings takes.
_CELL_SHARE = 0.92
_HEIGHT_SHARE = 0.5
# Standard deviation, in grey levels, of a camera's noise; it gives a JPEG its usual weight.
_NOISE = 3.0


@dataclass(frozen=True, slots=True)
class Case:
    """What the frames of one measurement look like.

    Attributes:
        width: in pixels.
        height: in pixels.
        faces: in every frame.
    """

    width: int
    height: int
    faces: int

    @property
    def size(self) -> str:
        """Width and height as ``640x480``."""
        return f"{self.width}x{self.height}"

    @classmethod
    def parse(cls, text: str) -> "Case":
        """Read ``640x480:4``.

        Raises:
            ArgumentTypeError: it is not of that form.
        """
        form = re.fullmatch(r"(\d{2,5})x(\d{2,5}):(\d{1,3})", text)
        if form is None:
            raise ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT:FACES, like 640x480:4")
        case = cls(*map(int, form.groups()))
        if min(case.width, case.height) < 64 or case.faces > 100:
            raise ArgumentTypeError(f"{text} is too small, or has too many faces")
        return case

    def __str__(self) -> str:
        return f"{self.size}:{self.faces}"


@dataclass(frozen=True, slots=True)
class FrameSet:
    """The frames of a case.

    Attributes:
        case: what they look like.
        images: uint8 (H, W, 3), BGR, as the decoder returns them.
        jpegs: the same, encoded.
    """

    case: Case
    images: Sequence[Picture]
    jpegs: Sequence[bytes]


def load_faces(portraits: Path | None = None) -> list[Picture]:
    """Square pictures of one face each, BGR.

    Args:
        portraits: a folder of portraits to use in addition to the samples.

    Raises:
        infra.demo.sample_media.MediaError: a sample is absent.
        OSError: there is no such folder.
    """
    astronaut = cv2.imread(str(ASTRONAUT.locate()), cv2.IMREAD_COLOR)
    assert astronaut is not None, "the file's checksum was right"  # noqa: S101
    faces = [_square(np.asarray(astronaut, np.uint8), _ASTRONAUT_FACE)]
    chosen = islice(video_frames(CARPHONE.locate()), *_CARPHONE_FRAMES)
    faces += [_square(frame, _CARPHONE_FACE) for frame in chosen]
    if portraits is not None:
        faces += load_portraits(portraits)
    return faces


def load_portraits(folder: Path) -> list[Picture]:
    """The portraits of a folder and of those below it, cut square about their upper middle."""
    squares = []
    for path in sorted(folder.rglob("*.jpg")):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            continue
        height, width = picture.shape[:2]
        side = min(height, width)
        cut = picture[:side, (width - side) // 2 : (width + side) // 2]
        size = (_PORTRAIT_SIDE, _PORTRAIT_SIDE)
        scaled = cv2.resize(cut, size, interpolation=cv2.INTER_AREA)
        squares.append(np.asarray(scaled, np.uint8))
    return squares


def compose(case: Case, faces: Sequence[Picture], count: int = DISTINCT) -> FrameSet:
    """Make the frames of a case; the same arguments give the same bytes.

    Args:
        case: what they should look like.
        faces: from `load_faces`.
        count: how many different frames.
    """
    encoder = JpegEncoder(JPEG_QUALITY)
    jpegs = [encoder.encode(_frame(case, faces, number)) for number in range(count)]
    images = [
        np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)
        for jpeg in jpegs
    ]
    return FrameSet(case, images, jpegs)


def _frame(case: Case, faces: Sequence[Picture], number: int) -> Picture:
    random = np.random.default_rng((_SEED, case.width, case.height, case.faces, number))
    coarse = random.integers(60, 180, (4, 5, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (case.width, case.height), interpolation=cv2.INTER_CUBIC)
    noise = random.standard_normal((case.height, case.width, 3), np.float32)
    canvas = np.clip(smooth + _NOISE * noise, 0, 255).astype(np.uint8)
    for index, (left, top, width, height) in enumerate(_cells(case)):
        room = min(width * _CELL_SHARE, height * _CELL_SHARE, case.height * _HEIGHT_SHARE)
        side = int(room * random.uniform(0.85, 1.0))
        x = left + int(random.uniform(0, width - side))
        y = top + int(random.uniform(0, height - side))
        face = faces[(number + index) % len(faces)]
        interpolation = cv2.INTER_AREA if side < face.shape[0] else cv2.INTER_CUBIC
        scaled = cv2.resize(face, (side, side), interpolation=interpolation)
        brightness = random.uniform(0.85, 1.1)
        canvas[y : y + side, x : x + side] = cv2.convertScaleAbs(scaled, alpha=brightness)
    return canvas


def _cells(case: Case) -> Iterator[tuple[int, int, int, int]]:
    """Left, top, width and height of each face's cell in a grid of nearly square cells."""
    if not case.faces:
        return
    columns = min(case.faces, math.ceil(math.sqrt(case.faces * case.width / case.height)))
    rows = math.ceil(case.faces / columns)
    width, height = case.width // columns, case.height // rows
    for index in range(case.faces):
        row, column = divmod(index, columns)
        yield column * width, row * height, width, height


def _square(picture: Picture, square: tuple[int, int, int]) -> Picture:
    x, y, side = square
    return np.ascontiguousarray(picture[y : y + side, x : x + side])


def video_frames(video: Path) -> Iterator[Picture]:
    """The frames of a video, uint8 (H, W, 3), BGR."""
    source = VideoSource(video)
    try:
        for frame in source.frames():
            if not isinstance(frame.data, bytes):
                yield frame.data
    finally:
        source.close()
