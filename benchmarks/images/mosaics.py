"""Frames full of portraits, each with a face whose place and size are known.

The portraits keep their own detail, or are made smaller: enlarged ones have none that a decoder
could lose.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.load.frames import Picture
from domain.arrays import FloatArray

#: Heights of faces, in pixels of a detector's canvas.
HEIGHTS = (12, 16, 20, 24, 32, 48, 64, 96)


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A picture with one face.

    Attributes:
        person: whose it is.
        picture: uint8 (H, W, 3), BGR.
        box: float32 (4,): x, y, width, height of the face.
        landmarks: float32 (5, 2), of the face.
        embedding: float32 (D,), of length 1, of the face in this picture.
    """

    person: str
    picture: Picture
    box: FloatArray
    landmarks: FloatArray
    embedding: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """A face of a mosaic.

    Attributes:
        portrait: which.
        box: float32 (4,), in pixels of the mosaic.
        landmarks: float32 (5, 2), the same.
    """

    portrait: Portrait
    box: FloatArray
    landmarks: FloatArray


def mosaic(
    portraits: Sequence[Portrait],
    width: int,
    height: int,
    scale: float,
    random: np.random.Generator,
) -> tuple[Picture, list[Tile]]:
    """Rows of portraits, chosen at random, on grey.

    Args:
        portraits: what there is.
        width: of the frame, in pixels.
        height: the same.
        scale: pixels of the frame for one of the detector's canvas.
        random: chooses portraits and sizes.
    """
    frame = np.full((height, width, 3), 128, np.uint8)
    tiles = []
    top = 0
    while top < height:
        tall = scale * float(random.choice(HEIGHTS))
        left = row = 0
        while left < width:
            one = portraits[int(random.integers(len(portraits)))]
            # Of the faces of a row, all are about as large; none is enlarged.
            factor = min(1.0, tall * random.uniform(0.9, 1.1) / float(one.box[3]))
            size = [max(1, round(factor * side)) for side in one.picture.shape[1::-1]]
            right, bottom = left + size[0], top + size[1]
            if right <= width and bottom <= height:
                frame[top:bottom, left:right] = cv2.resize(
                    one.picture, size, interpolation=cv2.INTER_AREA
                )
                corner = np.array([left, top], np.float32)
                scaled = np.array(size, np.float32) / np.array(one.picture.shape[1::-1], np.float32)
                box = np.concatenate([one.box[:2] * scaled + corner, one.box[2:] * scaled])
                landmarks = np.asarray(one.landmarks * scaled + corner, np.float32)
                tiles.append(Tile(one, np.asarray(box, np.float32), landmarks))
            left, row = right, max(row, size[1])
        top += row
    return frame, tiles
