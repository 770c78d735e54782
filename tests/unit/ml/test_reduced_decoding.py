"""A picture decoded at a fraction of its size is the full one made smaller, or refused like it."""

import re
from functools import cache
from random import Random

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domain.images.image_errors import ImageRejected
from domain.images.image_headers import ImageHeader
from ml.images.decoding import ImageLimits, decode, decode_inspected, inspect
from ml.images.reduced_decoding import decode_grey, decode_reduced, divisor, reduced_bytes
from tests import decompression_bombs
from tests.unit.ml import pictures
from tests.unit.ml.conftest import LIMITS
from tests.unit.ml.test_images import VALID
from tests.unit.ml.test_whole_pictures import JPEG_ENDS, jpegs, with_surplus

SEEDS = decompression_bombs.seeds()
#: Both sides of `jpegs` can be divided by 8.
LONG_SIDES = {1: 61, 2: 31, 4: 16, 8: 15}


@cache
def odd_jpegs():
    return {"webcam": with_surplus(jpegs()["restarts"], 10), **jpegs()}


def outcome(decoder, data, *arguments):
    """The picture, or why it is refused."""
    try:
        return decoder(data, inspect(data, LIMITS), *arguments)
    except ImageRejected as error:
        return error.reason


def shrunk(image, number):
    height, width = image.shape[:2]
    size = (width // number, height // number)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def difference(image, other):
    return float(np.abs(image.astype(int) - other).mean())


def assert_same_outcome(data):
    """All ways of decoding take or refuse the same bytes, for the same reason."""
    whole = outcome(decode_inspected, data)
    for side in LONG_SIDES.values():
        for decoder, axes in ((decode_reduced, 3), (decode_grey, 2)):
            found = outcome(decoder, data, side)
            if isinstance(whole, str):
                assert found == whole
            else:
                assert found.ndim == axes
                assert found.dtype == np.uint8
                number = divisor(inspect(data, LIMITS), side)
                assert tuple(number * np.array(found.shape[:2])) == whole.shape[:2]


@pytest.mark.parametrize(
    ("width", "height", "number"),
    [
        (640, 480, 1), (1279, 720, 1), (1280, 720, 2), (1920, 1080, 2), (1080, 1920, 2),
        (2560, 1440, 4), (3840, 2160, 4), (5120, 2880, 8), (7680, 4320, 8), (1921, 1080, 1),
        (2562, 1440, 2),
    ],
)  # fmt: skip
def test_the_long_side_stays_as_long_as_it_is_needed(width, height, number):
    header = ImageHeader("jpeg", width, height)
    assert divisor(header, 640) == number
    assert reduced_bytes(header, 640) == 3 * (width // number) * (height // number)
    assert divisor(ImageHeader("png", width, height), 640) == 1


@given(st.integers(8, 9000), st.integers(8, 9000), st.integers(1, 2000))
def test_coordinates_on_the_smaller_picture_are_those_of_the_full_one_divided(w, h, long_side):
    number = divisor(ImageHeader("jpeg", w, h), long_side)
    assert number in (1, 2, 4, 8)
    assert w % number == h % number == 0
    assert max(w, h) // number >= min(long_side, max(w, h))


@pytest.mark.parametrize("number", [2, 4, 8])
@pytest.mark.parametrize("name", odd_jpegs())
def test_a_reduced_jpeg_is_the_full_one_made_smaller(name, number):
    data = odd_jpegs()[name]
    expected = shrunk(decode(data, LIMITS), number)
    header = inspect(data, LIMITS)
    image = decode_reduced(data, header, LONG_SIDES[number])
    assert image.shape == expected.shape
    assert image.flags.writeable
    # The transform cuts frequencies off where the mean of an area damps them, and colours may be
    # stored at a quarter of the width: not the same pixels.
    assert difference(image, expected) < 10
    grey = decode_grey(data, header, LONG_SIDES[number])
    assert difference(grey, cv2.cvtColor(expected, cv2.COLOR_BGR2GRAY)) < 8


def test_at_an_eighth_grey_is_the_mean_of_each_block():
    for name in ("4:2:0", "4:4:4", "grey", "progressive", "rotated"):
        data = jpegs()[name]
        grey = cv2.cvtColor(decode(data, LIMITS), cv2.COLOR_BGR2GRAY)
        found = decode_grey(data, inspect(data, LIMITS), LONG_SIDES[8])
        assert np.abs(found.astype(int) - shrunk(grey, 8)).max() <= 2


@pytest.mark.parametrize("value", range(1, 9))
def test_orientation_is_applied_to_the_reduced_picture(value):
    image = pictures.picture(80, 120)
    bare, exif = pictures.encoded(".jpg", image), b"Exif\0\0" + pictures.tiff_orientation(value)
    data = decompression_bombs.with_jpeg_segments(
        bare, decompression_bombs.jpeg_segment(0xE1, exif), 1
    )
    full, header = decode(data, LIMITS), inspect(data, LIMITS)
    for number in (2, 4, 8):
        reduced = decode_reduced(data, header, 120 // number)
        assert reduced.shape == shrunk(full, number).shape
        assert difference(reduced, shrunk(full, number)) < 3
        grey = decode_grey(data, header, 120 // number)
        assert difference(grey, cv2.cvtColor(shrunk(full, number), cv2.COLOR_BGR2GRAY)) < 3


@pytest.mark.parametrize("data", VALID[1:4], ids=["png", "webp", "lossless webp"])
def test_other_formats_are_decoded_in_full(data):
    header = inspect(data, LIMITS)
    full = decode(data, LIMITS)
    assert np.array_equal(decode_reduced(data, header, 8), full)
    assert np.array_equal(decode_grey(data, header, 8), cv2.cvtColor(full, cv2.COLOR_BGR2GRAY))


@pytest.mark.parametrize("name", odd_jpegs())
def test_what_is_large_enough_is_not_enlarged(name):
    data = odd_jpegs()[name]
    reduced = decode_reduced(data, inspect(data, LIMITS), 640)
    assert np.array_equal(reduced, decode(data, LIMITS))


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(odd_jpegs())),
    st.integers(1, 12_000) | st.integers(1, 40),
    st.sampled_from(sorted(JPEG_ENDS)),
)
def test_a_jpeg_cut_anywhere_is_refused_as_in_full_size(name, missing, end):
    whole = odd_jpegs()[name]
    assume(missing < len(whole) - 3)
    assert_same_outcome(whole[:-missing] + JPEG_ENDS[end])


@settings(max_examples=500)
@given(st.sampled_from([*SEEDS, *odd_jpegs().values()]), st.randoms(use_true_random=False))
def test_a_mutated_picture_is_refused_as_in_full_size(seed, random):
    assert_same_outcome(decompression_bombs.mutated(seed, random))


def test_lost_parts_of_a_picture_are_refused_as_in_full_size():
    """A hole, zeros in its place, a restart interval less, and data that only fill a buffer up."""
    random = Random(3)
    for name, whole in odd_jpegs().items():
        start = whole.index(b"\xff\xda") + 20
        for _ in range(10):
            place, length = random.randrange(start, len(whole) - 400), random.randrange(1, 400)
            for instead in (b"", bytes(length), b"\xff" * length):
                assert_same_outcome(whole[:place] + instead + whole[place + length :])
        for found in re.finditer(rb"\xff[\xd0-\xd7]", whole[start:]):
            place = start + found.start()
            assert_same_outcome(whole[:place] + whole[place + 2 :])
        assert isinstance(outcome(decode_reduced, whole, 15), np.ndarray), name


def test_hostile_files_are_refused_as_in_full_size(shared):
    files = sorted((shared / "data/hostile").iterdir()) + sorted(
        (shared / "field/01-broken-jpeg-accepted").glob("*.jpg")
    )
    assert len(files) > 40
    for path in files:
        assert_same_outcome(path.read_bytes())


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_decode_or_be_refused(data):
    limits = ImageLimits(10**6, 10**6)
    for decoder in (decode_reduced, decode_grey):
        with pytest.raises(ImageRejected):
            decoder(data, inspect(data, limits), 8)
