"""Faces are found again near where they were, or the whole frame must be searched."""

import cv2
import numpy as np
import pytest

from ml.detection.detections import Detections
from ml.tracking.frame_detector import FrameDetector, Nearby

SIDE = 48


class Spots:
    """A detector of bright squares."""

    id = "spots"
    provider = "cpu"

    def detect(self, images):
        found = []
        for image in images:
            _, _, areas, _ = cv2.connectedComponentsWithStats(
                (image[:, :, 0] > 128).astype(np.uint8)
            )
            boxes = areas[1:, :4].astype(np.float32)
            landmarks = boxes[:, None, :2] + boxes[:, None, 2:] * np.linspace(0.2, 0.8, 5)[:, None]
            found.append(Detections(boxes, landmarks.astype(np.float32), np.full(len(boxes), 0.9)))
        return found


def detector(**limits):
    return FrameDetector(
        Spots(), Spots(), **{"long_side": 640, "min_face_pixels": 10, "max_faces": 100, **limits}
    )


def picture(*corners, size=(480, 640)):
    image = np.zeros((*size, 3), np.uint8)
    for x, y in corners:
        image[y : y + SIDE, x : x + SIDE] = 255
    return image


def box(x, y, number=1):
    return np.array([x, y, SIDE, SIDE], np.float32) * number


@pytest.mark.parametrize("number", [1, 2, 4])
@pytest.mark.parametrize("corner", [(200, 200), (0, 0), (592, 432), (10, 400)])
def test_a_face_is_found_near_its_place_in_pixels_of_the_frame(number, corner):
    expected = box(corner[0] + 7, corner[1] - 5, number)
    (faces,) = detector().find_nearby([Nearby(picture(corner), number, [expected])])
    assert [face.box.tolist() for face in faces] == [box(*corner, number).tolist()]


def test_one_face_does_not_stand_for_two():
    two = [box(100, 100), box(140, 100)]
    one = picture((140, 100))
    assert detector().find_nearby([Nearby(one, 1, two)]) == [None]


def test_a_face_that_is_gone_or_too_small_is_missing():
    near = [Nearby(picture(), 1, [box(100, 100)])]
    assert detector().find_nearby(near) == [None]
    there = [Nearby(picture((100, 100)), 1, [box(100, 100)])]
    assert detector(min_face_pixels=SIDE + 1).find_nearby(there) == [None]


def test_the_least_size_counts_in_pixels_of_the_frame():
    half = picture((100, 100))
    assert len(detector(min_face_pixels=2 * SIDE).find([(half, 2)])[0]) == 1
    assert detector(min_face_pixels=2 * SIDE + 1).find([(half, 2)]) == [[]]


def test_two_faces_near_each_other_are_found_once_each():
    corners = [(100, 100), (160, 100)]
    (faces,) = detector().find_nearby([Nearby(picture(*corners), 1, [box(*c) for c in corners])])
    assert sorted(face.box.tolist() for face in faces) == [box(*c).tolist() for c in corners]


def test_at_most_so_many_faces_are_kept():
    corners = [(60 * number, 0) for number in range(8)]
    assert len(detector(max_faces=3).find([(picture(*corners), 1)])[0]) == 3
