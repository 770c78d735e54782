import csv

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import ModelSettings
from domain.images.image_errors import ModelError
from ml.detection.detections import DetectionPolicy, large_enough
from ml.detection.letterbox import batches, canvas_size, letterbox
from ml.detection.scrfd import Scrfd
from ml.detection.yunet import YuNet
from ml.recognition.face_analyser import build_analyser
from ml.runtime import model_registry
from ml.runtime.sessions import create_session
from tests.unit.ml.conftest import read

POLICY = DetectionPolicy(threshold=0.7, nms_threshold=0.3, min_face_pixels=10, max_faces=100)
SCRFD_POLICY = DetectionPolicy(threshold=0.5, nms_threshold=0.4, min_face_pixels=10, max_faces=100)


@pytest.fixture(scope="module")
def yunet(model_cache):
    path = model_registry.prepare_builtin(model_registry.YUNET, model_cache)
    return YuNet(create_session(path, "cpu", 0), POLICY, 640)


@pytest.fixture(scope="module", params=["scrfd_500m_bnkps", "scrfd_2.5g_bnkps"])
def scrfd(shared, request):
    path = shared / f"models/{request.param}.onnx"
    return Scrfd(create_session(path, "cpu", 0), SCRFD_POLICY, 640, "scrfd-test")


def overlap(a, b):
    upper_left, lower_right = np.maximum(a[:2], b[:2]), np.minimum(a[:2] + a[2:], b[:2] + b[2:])
    common = np.prod(np.clip(lower_right - upper_left, 0, None))
    return common / (np.prod(a[2:]) + np.prod(b[2:]) - common)


def same_faces(found, expected, least):
    """Each expected box has one of its own, and there are no others."""
    assert len(found) == len(expected)
    for box in expected:
        assert max(overlap(box, other) for other in found) > least


def opencv_faces(image):
    """What OpenCV's own YuNet finds with the published file, in the same scaled picture."""
    height, width = image.shape[:2]
    ratio = min(1, 640 / max(height, width))
    if ratio < 1:
        size = (round(width * ratio), round(height * ratio))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    detector = cv2.FaceDetectorYN.create(
        str(model_registry._locate(model_registry.YUNET)), "", image.shape[1::-1], 0.7, 0.3
    )
    faces = detector.detect(image)[1]
    if faces is None:
        return np.zeros((0, 4)), np.zeros((0, 5, 2))
    boxes = faces[:, :4] / ratio
    corners = np.clip(boxes[:, :2] + boxes[:, 2:], 0, (width, height))
    boxes[:, :2] = np.clip(boxes[:, :2], 0, None)
    boxes[:, 2:] = corners - boxes[:, :2]
    return boxes, faces[:, 4:14].reshape(-1, 5, 2) / ratio


def test_yunet_finds_what_opencv_finds(yunet, groups, portraits):
    for path in [*groups, *portraits[::7]]:
        image = read(path)
        boxes, landmarks = opencv_faces(image)
        (found,) = yunet.detect([image])
        same_faces(found.boxes, boxes, 0.9)
        for box, points in zip(boxes, landmarks, strict=True):
            nearest = np.argmax([overlap(box, other) for other in found.boxes])
            assert np.abs(found.landmarks[nearest] - points).max() < 0.06 * box[2:].max()


def labels(shared, name):
    """Numbers of the labels by file, as the collection's table has them."""
    found = {}
    with (shared / "data/groups" / name).open() as file:
        for row in csv.reader(line for line in file if not line.startswith("file")):
            found.setdefault(row[0].removeprefix("img/"), []).append(np.array(row[1:], float))
    return found


def test_yunet_finds_the_labelled_boxes(yunet, shared):
    overlaps = []
    for name, boxes in labels(shared, "dlib_faces_boxes.csv").items():
        (found,) = yunet.detect([read(shared / "data/groups/dlib" / name)])
        overlaps += [max(overlap(box, other) for other in found.boxes) for box in boxes]
    assert len(overlaps) > 30
    # The labels are square, the detector's boxes are not.
    assert np.mean(np.array(overlaps) > 0.4) > 0.9


def test_yunet_finds_the_labelled_noses(yunet, shared):
    distances = []
    for name, noses in labels(shared, "compreface_noses.csv").items():
        path = shared / "data/groups/compreface" / name
        if not path.exists():
            continue
        (found,) = yunet.detect([read(path)])
        for nose in noses:
            away = np.linalg.norm(found.landmarks[:, 2] - nose, axis=1) / found.boxes[:, 2]
            distances.append(away.min(initial=9))
    assert len(distances) > 30
    assert np.mean(np.array(distances) < 0.3) > 0.9


def test_scrfd_finds_the_faces_of_yunet(scrfd, yunet, groups):
    for path in groups[:12]:
        image = read(path)
        (expected,), (found,) = yunet.detect([image]), scrfd.detect([image])
        same_faces(found.boxes, expected.boxes, 0.7)
        for box, points in zip(expected.boxes, expected.landmarks, strict=True):
            nearest = np.argmax([overlap(box, other) for other in found.boxes])
            assert np.abs(found.landmarks[nearest] - points).max() < 0.2 * box[2:].max()


def test_landmarks_come_in_the_stated_order(yunet, scrfd, shared):
    image = read(shared / "data/groups/compreface/007_B.jpg")
    for detector in (yunet, scrfd):
        right_eye, left_eye, nose, right_mouth, left_mouth = detector.detect([image])[0].landmarks[
            0
        ]
        # The subject's right is at the left of the picture.
        assert right_eye[0] < nose[0] < left_eye[0]
        assert right_mouth[0] < left_mouth[0]
        assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])


def test_mixed_sizes_at_once_equal_one_by_one(yunet, groups, portraits):
    images = [read(path) for path in (*groups[:4], portraits[0], portraits[-1])]
    images.insert(2, np.zeros((900, 50, 3), np.uint8))
    together = yunet.detect(images)
    assert len(together[2]) == 0
    for image, found in zip(images, together, strict=True):
        (alone,) = yunet.detect([image])
        np.testing.assert_array_equal(found.boxes, alone.boxes)
        np.testing.assert_array_equal(found.landmarks, alone.landmarks)
    assert yunet.detect([]) == []


def test_large_pictures_are_scaled_down_and_boxes_are_in_their_pixels(yunet, shared):
    image = read(shared / "data/groups/compreface/014_5.jpg")
    large = cv2.resize(image, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    (found,), (expected,) = yunet.detect([large]), yunet.detect([image])
    same_faces(found.boxes / 3, expected.boxes, 0.9)


def test_other_files_are_refused(shared, model_cache):
    sface = model_registry.prepare_builtin(model_registry.SFACE, model_cache)
    session = create_session(sface, "cpu", 1)
    with pytest.raises(ModelError, match="YuNet"):
        YuNet(session, POLICY, 640)
    with pytest.raises(ModelError, match="SCRFD"):
        Scrfd(session, POLICY, 640, "x")


def test_the_settings_choose_the_detector(shared, model_cache):
    path = shared / "models/scrfd_500m_bnkps.onnx"
    analyser = build_analyser(
        ModelSettings(detector="scrfd", detector_file=path, cache_dir=model_cache)
    )
    assert analyser.detector.id == f"scrfd-{model_registry.sha256_of(path)[:8]}"
    assert analyser.detector.provider == "cpu"


sides = st.integers(8, 5000)


@given(sides, sides, st.integers(64, 1500))
def test_a_canvas_fits_its_picture(height, width, long_side):
    size = canvas_size(np.broadcast_to(np.uint8(), (height, width, 3)), long_side)
    assert size[0] % 32 == size[1] % 32 == 0
    assert max(size) <= long_side + 31
    assert (size[0] >= size[1]) == (height > width) or size[0] == size[1]
    # Scaled down no more than the long side asks for.
    assert (
        min(1, size[0] / height, size[1] / width) >= min(1, max(size) / max(height, width)) - 1e-9
    )


def test_pictures_of_all_aspects_share_few_canvases():
    random = np.random.default_rng(0)
    shapes = random.integers(8, 4000, (2000, 2))
    sizes = {canvas_size(np.broadcast_to(np.uint8(), (h, w, 3)), 640) for h, w in shapes}
    assert len(sizes) <= 10


def test_letterboxing_and_back():
    image = np.zeros((300, 1000, 3), np.uint8)
    boxed = letterbox(image, (384, 640))
    assert boxed.canvas.shape == (384, 640, 3)
    corner = boxed.to_image(np.array([[640.0, 192.0]], np.float32))
    np.testing.assert_allclose(corner, [[1000.0, 300.0]], rtol=1e-3)
    small = letterbox(np.full((20, 30, 3), 7, np.uint8), (96, 96))
    assert small.scale == (1, 1)
    assert small.canvas.sum() == 20 * 30 * 3 * 7


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2)), max_size=20), st.integers(1, 5))
def test_batches_hold_each_once_and_only_equals(sizes, limit):
    groups = batches(sizes, limit)
    assert sorted(i for group in groups for i in group) == list(range(len(sizes)))
    for group in groups:
        assert 1 <= len(group) <= limit
        assert len({sizes[i] for i in group}) == 1


def candidates(*rows):
    boxes = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
    scores = np.array([row[4] for row in rows], np.float32)
    return boxes, np.zeros((len(rows), 5, 2), np.float32), scores


@pytest.mark.parametrize(
    ("width", "height", "counts"),
    [(16, 24, True), (24, 16, True), (24, 24, True), (18, 23, False), (15, 40, False)],
)
def test_a_face_counts_by_its_longer_side_unless_it_is_cut_off(width, height, counts):
    boxes = np.array([[5, 5, width, height]], np.float32)
    assert large_enough(boxes, 24).tolist() == [counts]
    assert large_enough(boxes[:0], 24).tolist() == []


def test_policy_selects():
    policy = DetectionPolicy(0.5, 0.3, 10, 2)
    found = policy.select(
        *candidates(
            (10, 10, 20, 20, 0.8),
            (11, 11, 20, 20, 0.9),  # the same face, better
            (50, 50, 5, 40, 0.99),  # too narrow
            (95, 50, 20, 20, 0.95),  # five pixels of it in the picture
            (60, 10, 20, 20, 0.4),  # too doubtful
            (60, 60, 20, 20, 1.2),
            (30, 60, 20, 20, 0.6),  # one more than asked for
            (np.nan, 0, 50, 50, 0.9),
        ),
        (100, 100),
    )
    np.testing.assert_array_equal(found.boxes, [[60, 60, 20, 20], [11, 11, 20, 20]])
    np.testing.assert_allclose(found.scores, [1.0, 0.9])
    assert len(policy.select(*candidates(), (100, 100))) == 0


def test_boxes_are_clipped_to_the_picture():
    found = DetectionPolicy(0.5, 0.3, 10, 5).select(*candidates((-5, 80, 30, 40, 0.9)), (100, 60))
    np.testing.assert_array_equal(found.boxes, [[0, 80, 25, 20]])
