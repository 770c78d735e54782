"""Enrolled faces as they are kept, for another embedder: a crop, and landmarks in the database.

What this loses against the photo is in docs/decisions/0019-model-change.md.
"""

from dataclasses import dataclass

import numpy as np

from domain.arrays import FloatArray, Image
from ml.recognition.alignment import align, in_crop


@dataclass(frozen=True, slots=True, eq=False)
class KeptFace:
    """A face whose photo is gone.

    Attributes:
        crop: uint8 (S, S, 3), BGR: what `ml.recognition.alignment.face_crop` has cut out.
        box: float32 (4,): x, y, width, height in pixels of the photo.
        landmarks: float32 (5, 2) in pixels of the photo.
    """

    crop: Image
    box: FloatArray
    landmarks: FloatArray


def aligned_again(face: KeptFace) -> Image:
    """The aligned face, uint8 (112, 112, 3), that embedders take."""
    points = in_crop(
        np.asarray(face.landmarks, np.float32).reshape(5, 2), np.asarray(face.box, np.float32)
    )
    return align(face.crop, points)
