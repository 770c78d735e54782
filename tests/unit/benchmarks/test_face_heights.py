"""What the benchmark of face heights counts, with a detector that finds the larger faces."""

import cv2
import numpy as np

from benchmarks.images.face_heights import Group, frames, measure
from ml.detection.detections import Detections


def groups():
    """Grey pictures with two white faces each, one labelled."""
    picture = np.full((300, 400, 3), 90, np.uint8)
    boxes = np.array([[20, 20, 80, 100], [200, 50, 80, 100]], np.float32)
    for x, y, width, height in boxes.astype(int):
        picture[y : y + height, x : x + width] = 255
    return [Group(picture, boxes, np.array([True, False])) for _ in range(30)]


class FindsWhite:
    """Finds the boxes of white from some height on."""

    id = provider = "white"

    def __init__(self, least):
        self.least = least

    def detect(self, images):
        return [self._in(image) for image in images]

    def _in(self, image):
        white = (image.min(axis=2) > 200).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(white)
        boxes = stats[1:, :4].astype(np.float32)
        boxes = boxes[boxes[:, 3] >= self.least]
        scores = np.ones(len(boxes), np.float32)
        return Detections(boxes, np.zeros((len(boxes), 5, 2), np.float32), scores)


def test_frames_hold_every_picture_once_at_its_size():
    found = list(frames(groups(), 0.5))
    boxes = np.concatenate([boxes for _, boxes, _ in found])
    assert len(boxes) == 60
    assert np.allclose(boxes[:, 3], 50)
    for frame, places, labelled in found:
        assert frame.shape == (1080, 1920, 3)
        assert len(places) == len(labelled)
        for x, y, width, height in places.astype(int):
            assert frame[y + height // 2, x + width // 2].tolist() == [255, 255, 255]


def test_recall_is_by_height_and_precision_of_all():
    results = measure(FindsWhite(40), groups(), "least 40")
    recall = {
        one.case["height"]: one.values["recall_percent"]
        for one in results
        if "recall_percent" in one.values
    }
    assert recall == {"16-24": 0.0, "24-32": 0.0, "32-48": 0.0, "48-64": 100.0, "64-128": 100.0}
    assert results[-1].values["precision_percent"] == 100.0
