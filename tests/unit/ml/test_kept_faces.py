"""A face that is embedded again from its crop."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import ModelSettings
from ml.images.decoding import encode_jpeg
from ml.recognition.alignment import align, face_crop, in_crop
from ml.recognition.face_analyser import CROP_JPEG_QUALITY, build_analyser
from ml.recognition.kept_faces import KeptFace, aligned_again

_SIDE = 250


def _slopes():
    """A picture whose colours say where a pixel is: x and y in steps that need no rounding."""
    y, x = np.mgrid[0:_SIDE, 0:_SIDE].astype(np.uint8)
    return np.stack([x, y, np.zeros_like(x)], axis=2)


@given(
    st.floats(-20, 230),
    st.floats(-20, 230),
    st.floats(24, 150),
    st.floats(24, 150),
    st.floats(0.2, 0.8),
    st.floats(0.2, 0.8),
    st.sampled_from([64, 256]),
)
def test_a_point_of_the_photo_is_found_in_the_crop(x, y, width, height, right, down, limit):
    box = np.array([x, y, width, height], np.float32)
    point = np.array([[x + right * width, y + down * height]], np.float32)
    if not (2 < point[0, 0] < _SIDE - 3 and 2 < point[0, 1] < _SIDE - 3):
        return
    crop = face_crop(_slopes(), box, max_size=limit)
    (found,) = in_crop(point, box, max_size=limit)
    # At the edge of the photo its picture is scaled to whole pixels, and repeats its last one.
    column, row = np.rint(found).astype(int)
    seen = crop[row, column, :2].astype(float)
    scale = max(1.0, max(width, height) * 1.8 / limit)
    assert np.abs(seen - point[0]).max() <= 2.5 * scale


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_the_embedding_from_the_crop_is_that_from_the_photo(model_cache, shared, scale):
    analyser = build_analyser(ModelSettings(cache_dir=model_cache))
    cosines = []
    for path in sorted((shared / "data/faces/lfw_dev").rglob("*_0001.jpg")):
        image = cv2.resize(cv2.imread(str(path)), None, fx=scale, fy=scale)
        face = analyser.analyse([image])[0][0]
        jpeg = encode_jpeg(face_crop(image, face.box), CROP_JPEG_QUALITY)
        crop = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        one, two = analyser.embedder.embed(
            [
                align(image, face.landmarks),
                aligned_again(KeptFace(crop, face.box, face.landmarks)),
            ]
        )
        cosines.append(one @ two)
    assert min(cosines) > 0.95
    assert np.mean(cosines) > 0.985
