import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.recognition.alignment import _TEMPLATE, align, face_crop, similarity_transform

coordinates = st.floats(-200, 200)
points = st.lists(st.tuples(coordinates, coordinates), min_size=5, max_size=5, unique=True).map(
    np.array
)


def error(matrix, source, target):
    return float(((source @ matrix[:, :2].T + matrix[:, 2] - target) ** 2).sum())


@given(points, points, st.lists(st.floats(-0.5, 0.5), min_size=4, max_size=4))
def test_no_other_similarity_fits_better(source, target, step):
    best = similarity_transform(source, target)
    a, b = best[0, 0] + step[0], best[1, 0] + step[1]
    other = np.array([[a, -b, best[0, 2] + step[2]], [b, a, best[1, 2] + step[3]]])
    assert error(best, source, target) <= error(other, source, target) * (1 + 1e-9) + 1e-6


@given(points, st.floats(0.2, 5), st.floats(-3.1, 3.1), coordinates, coordinates)
def test_a_similarity_is_recovered(source, scale, angle, dx, dy):
    if np.ptp(source, axis=0).max() < 1:
        return
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target = source @ turn.T + (dx, dy)
    matrix = similarity_transform(source, target)
    np.testing.assert_allclose(matrix[:, :2], turn, atol=1e-6)
    np.testing.assert_allclose(matrix[:, 2], (dx, dy), atol=1e-4)


def test_a_drawn_face_lands_on_the_template():
    turn = cv2.getRotationMatrix2D((56, 56), 25, 2.5)
    landmarks = (_TEMPLATE @ turn[:, :2].T + turn[:, 2] + 150).astype(np.float32)
    image = np.zeros((500, 500, 3), np.uint8)
    for x, y in landmarks:
        cv2.circle(image, (round(float(x)), round(float(y))), 4, (255, 255, 255), -1)
    aligned = align(image, landmarks)
    assert aligned.shape == (112, 112, 3)
    assert aligned.dtype == np.uint8
    for x, y in _TEMPLATE:
        assert aligned[round(y), round(x)].mean() > 200
    assert aligned[10:40, 10:100].max() == 0


def test_landmarks_in_one_spot_do_no_harm():
    image = np.zeros((50, 50, 3), np.uint8)
    assert align(image, np.full((5, 2), 20, np.float32)).shape == (112, 112, 3)


@pytest.mark.parametrize("flip", [False, True])
def test_crop_shows_the_box_in_the_middle(flip):
    image = np.zeros((200, 300, 3), np.uint8)
    image[80:120, 100:140] = 255
    box = np.array([100, 80, 40, 40], np.float32)
    if flip:
        image, box = image.transpose(1, 0, 2), box[[1, 0, 3, 2]]
    crop = face_crop(image, box, margin=0.5)
    assert crop.shape == (80, 80, 3)
    assert crop[20:60, 20:60].min() == 255
    assert crop[:20].max() == crop[60:].max() == crop[:, :20].max() == crop[:, 60:].max() == 0


def test_crop_repeats_the_edge_of_the_image():
    image = np.full((100, 100, 3), 9, np.uint8)
    crop = face_crop(image, np.array([0, 0, 40, 30], np.float32))
    assert crop.shape == (72, 72, 3)
    assert (crop == 9).all()


@pytest.mark.parametrize("limit", [256, 30])
@pytest.mark.parametrize("corner", [(0, 0), (160, 0), (0, 160), (160, 160)])
def test_crop_at_the_edge_keeps_the_box_in_the_middle(corner, limit):
    x, y = corner
    image = np.zeros((200, 200, 3), np.uint8)
    image[y + 10 : y + 30, x + 10 : x + 30] = 255
    crop = face_crop(image, np.array([x, y, 40, 40], np.float32), 0.5, limit)
    rows, columns = np.nonzero(crop[:, :, 0] > 128)
    assert rows.mean() == pytest.approx((len(crop) - 1) / 2, abs=1)
    assert columns.mean() == pytest.approx((len(crop) - 1) / 2, abs=1)


boxes = st.tuples(
    st.floats(0, 299), st.floats(0, 199), st.floats(1, 300), st.floats(1, 200)
).filter(lambda box: box[0] + box[2] <= 300 and box[1] + box[3] <= 200)


@given(boxes, st.floats(0, 2), st.integers(16, 300))
def test_crop_is_square_and_small(box, margin, limit):
    image = np.full((200, 300, 3), 9, np.uint8)
    crop = face_crop(image, np.array(box, np.float32), margin, limit)
    assert crop.shape[0] == crop.shape[1] <= limit
    assert (crop == 9).all()


def test_crop_of_a_box_outside_is_refused():
    image = np.zeros((50, 50, 3), np.uint8)
    with pytest.raises(ValueError, match="outside"):
        face_crop(image, np.array([500, 500, 20, 20], np.float32))
