"""A frame needs the detector if it shows something new, and not for noise, light or compression."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ml.images.decoding import decode, inspect
from ml.images.reduced_decoding import decode_grey, decode_reduced
from ml.tracking.motion import Change, MotionPolicy, difference, needs_detection, thumbnail
from tests import decompression_bombs
from tests.unit.ml import pictures
from tests.unit.ml.conftest import LIMITS

SIDES = st.integers(1, 90)
ANY = arrays.arrays(np.uint8, st.tuples(SIDES, SIDES))
SEEDS = st.integers(0, 2**32 - 1)


def scene(seed, height=60, width=80, low=40, high=200):
    """Soft shapes and a few hard edges, as a room has them: uint8 (height, width)."""
    random = np.random.default_rng(seed)
    coarse = random.integers(low, high, (5, 6)).astype(np.float32)
    room = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    for _ in range(4):
        x, y = random.integers(0, width - 8), random.integers(0, height - 8)
        room[y : y + 25, x : x + 12] = random.integers(low, high)
    return np.clip(room, low, high).astype(np.uint8)


def noisy(image, deviation, random):
    return np.clip(image + random.normal(0, deviation, image.shape), 0, 255).astype(np.uint8)


def frame(grey, random, quality=85, deviation=3):
    """What a camera sends of a scene: enlarged eight times, with noise, as a JPEG."""
    height, width = grey.shape
    large = cv2.resize(grey, (8 * width, 8 * height), interpolation=cv2.INTER_LINEAR)
    colours = noisy(cv2.cvtColor(large, cv2.COLOR_GRAY2BGR).astype(float), deviation, random)
    return pictures.encoded(".jpg", colours, cv2.IMWRITE_JPEG_QUALITY, quality)


def seen(data):
    return thumbnail(decode(data, LIMITS))


@given(ANY)
def test_an_identical_frame_never_needs_detection(image):
    assert difference(image, image.copy()) == Change(moved=False, share=0.0, cut=False)


@given(ANY, ANY)
def test_any_two_frames_can_be_compared(first, second):
    found = difference(first, second)
    assert found == difference(first.copy(), second.copy())
    assert 0 <= found.share <= 1
    assert found.moved or not (found.cut or found.share)
    if first.shape != second.shape:
        assert found == Change(moved=True, share=1.0, cut=True)


@given(ANY, SEEDS, st.integers(1, 2))
def test_little_noise_is_no_change_in_either_direction(image, seed, most):
    noise = np.random.default_rng(seed).integers(-most, most + 1, image.shape)
    other = np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8)
    assert not needs_detection(image, other)
    assert not needs_detection(other, image)


@settings(max_examples=300)
@given(SEEDS, st.integers(0, 77), st.integers(0, 57), st.integers(3, 20), st.booleans())
def test_an_object_of_the_size_of_a_face_always_needs_detection(seed, x, y, side, brighter):
    empty = scene(seed)
    occupied = empty.astype(int)
    occupied[y : y + side, x : x + side] += 30 if brighter else -30
    random = np.random.default_rng(seed)
    first, second = noisy(empty, 1, random), noisy(occupied, 1, random)
    assert needs_detection(first, second)
    assert needs_detection(second, first)


@settings(max_examples=100)
@given(SEEDS, st.integers(0, 77), st.integers(0, 57), st.booleans())
def test_an_object_in_the_dark_always_needs_detection(seed, x, y, brighter):
    """A quarter of the light leaves a quarter of a contrast of 40."""
    empty = scene(seed) * 0.25
    occupied = empty.copy()
    occupied[y : y + 3, x : x + 3] += 10 if brighter else -10
    random = np.random.default_rng(seed)
    assert needs_detection(noisy(empty, 0.5, random), noisy(occupied, 0.5, random))


@settings(max_examples=300)
@given(SEEDS, st.floats(0.6, 1.2), st.floats(-20, 10))
def test_light_on_the_whole_scene_is_no_change_and_hides_no_face(seed, gain, offset):
    random = np.random.default_rng(seed)
    room = scene(seed)
    lit = np.clip(gain * room + offset, 0, 255)
    assert not needs_detection(noisy(room, 0.5, random), noisy(lit, 0.5, random))
    x, y = random.integers(0, 77), random.integers(0, 57)
    lit[y : y + 3, x : x + 3] += np.where(lit[y : y + 3, x : x + 3].mean() > 120, -40, 40)
    assert needs_detection(noisy(room, 0.5, random), noisy(lit, 0.5, random))


def test_bands_of_a_lamp_that_flickers_are_hardly_ever_a_change():
    """In a scene that is brighter from row to row, bands look like a shift."""
    changes = 0
    for seed in range(100):
        room = scene(seed)
        rows = np.arange(len(room))[:, None] / len(room)
        light = 1 + 0.05 * np.sin(2 * np.pi * ((1 + seed / 100) * rows + seed / 7))
        changes += needs_detection(room, np.clip(room * light, 0, 255).astype(np.uint8))
    assert changes <= 2


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.sampled_from([30, 50, 70, 95]), st.sampled_from([30, 50, 70, 95]))
def test_noise_and_compression_are_no_change(seed, first, second):
    random = np.random.default_rng(seed)
    room = scene(seed)
    assert not needs_detection(seen(frame(room, random, first)), seen(frame(room, random, second)))


def test_a_slight_shake_of_the_camera_is_no_change():
    large = cv2.resize(scene(5), (640, 480), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    reference = thumbnail(large.astype(np.uint8))
    for dx, dy in ((0.5, 0), (0, -1), (1, 1), (-1.5, 0.5)):
        shaken = cv2.warpAffine(
            large, np.float32([[1, 0, dx], [0, 1, dy]]), (640, 480), borderMode=cv2.BORDER_REPLICATE
        )
        assert not needs_detection(reference, thumbnail(shaken.astype(np.uint8)))


@given(SEEDS)
def test_what_comes_slowly_is_a_change_before_it_is_a_face(seed):
    """Each frame is like the one before; the reference is the last one with a detection."""
    room = scene(seed).astype(float)
    face = np.full((8, 6), 220 if room[20:28, 30:36].mean() < 120 else 20, float)
    for step in range(20):
        frame_ = room.copy()
        frame_[20:28, 30:36] += (face - frame_[20:28, 30:36]) * step / 19
        if needs_detection(room.astype(np.uint8), frame_.astype(np.uint8)):
            break
    else:
        pytest.fail("the face was never seen")
    assert step < 8


@settings(max_examples=300)
@given(SEEDS, SEEDS, st.floats(0.6, 1.2))
def test_another_scene_is_a_cut_and_another_light_is_none(seed, other, gain):
    room = scene(seed)
    # Half of it bright, half dark, and never as before.
    elsewhere = np.where(room < np.median(room), 235, 5).astype(np.uint8)
    assert difference(room, elsewhere).cut
    lit = np.clip(gain * room.astype(float), 0, 255).astype(np.uint8)
    assert not difference(room, lit).cut
    person = room.copy()
    person[10:, 20:40] = scene(other)[10:, 20:40]
    assert not difference(room, person).cut


def test_the_light_that_is_switched_on_is_a_change_once():
    dark = scene(3, low=5, high=50)
    bright = np.clip(dark * 4.5, 0, 255).astype(np.uint8)
    assert needs_detection(dark, bright)
    assert not needs_detection(bright, bright)


def test_a_policy_says_what_counts():
    room = scene(4)
    person = room.astype(int)
    person[10:20, 10:20] += 20
    changed = person.astype(np.uint8)
    assert needs_detection(room, changed)
    assert not needs_detection(room, changed, MotionPolicy(contrast=60, faint_contrast=60))
    assert difference(room, changed, MotionPolicy(cut_share=0.01)).cut


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(480, 640, (60, 80)), (1080, 1920, (45, 80)), (960, 540, (80, 45)), (8, 8, (8, 8)),
     (8, 3000, (1, 80))],
)  # fmt: skip
def test_a_thumbnail_has_the_mean_of_each_area(height, width, size):
    image = decompression_bombs.smooth(height, width)
    small = thumbnail(image)
    assert small.shape == size
    assert small.dtype == np.uint8
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    assert np.array_equal(thumbnail(grey), small)
    assert abs(float(small.mean()) - float(grey.mean())) < 2
    assert max(thumbnail(image, 20).shape) == min(20, max(size))


@pytest.mark.parametrize(("height", "width"), [(480, 640), (720, 1280), (1080, 1920), (2160, 3840)])
def test_thumbnails_of_all_ways_of_decoding_are_alike(height, width):
    """A camera's frames are compared whichever way each of them was decoded."""
    for seed in range(2):
        data = frame(scene(seed, height // 8, width // 8), np.random.default_rng(seed))
        header = inspect(data, LIMITS)
        full = seen(data)
        for other in (decode_grey(data, header, 80), decode_reduced(data, header, 640)):
            found = thumbnail(other)
            assert difference(full, found) == Change(moved=False, share=0.0, cut=False)
            assert np.abs(full.astype(int) - found).max() <= 3
