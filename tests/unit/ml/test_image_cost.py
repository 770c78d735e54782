"""Decoding is bounded in time and memory, whatever the bytes are."""

import subprocess
import sys
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from domain.images.image_errors import ImageRejected
from domain.images.image_headers import read_header
from ml.images.decoding import ImageLimits, decode, inspect
from ml.images.image_chunks import plain_png
from tests import decompression_bombs
from tests.unit.ml import pictures
from tests.unit.ml.conftest import LIMITS
from tests.unit.ml.test_images import refusal

#: Processor seconds that one image may take at the default limits, on any machine that we know.
MOST_SECONDS = 10.0

BOMBS = decompression_bombs.bombs()
SEEDS = decompression_bombs.seeds()

#: Bombs that are recognised by the amount of something that no picture needs.
NEEDLESS = {
    "scans of 49 megapixels",
    "scans without number",
    "chunks without number",
    "empty IDATs",
    "segments without number",
    "WebP chunks",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_little(name):
    began = process_time()
    try:
        image = decode(BOMBS[name], LIMITS)
    except ImageRejected as error:
        assert error.reason == ("too_complex" if name in NEEDLESS else "corrupt")
    else:
        assert name not in NEEDLESS
        assert image.shape == (64, 64, 3)
    assert process_time() - began < MOST_SECONDS / 4


def test_the_slowest_picture_within_the_limits_is_decoded_in_bounded_time():
    side = 7000
    scans = LIMITS.max_work // side**2 - 1
    data = decompression_bombs.scan_bomb(side, scans)
    assert inspect(data, LIMITS).scans == scans + 1
    began = process_time()
    assert decode(data, LIMITS).shape == (side, side, 3)
    assert process_time() - began < MOST_SECONDS
    assert refusal(decompression_bombs.scan_bomb(side, scans + 1)) == "too_complex"


@pytest.mark.parametrize("count", [10, 500])
def test_scans_are_counted_through_segments_that_look_like_scans(count):
    """A thumbnail or a profile may hold the bytes of a marker; the picture has one scan still."""
    plain = pictures.encoded(".jpg")
    profile = decompression_bombs.jpeg_segment(0xE2, b"\xff\xda" * 100)
    assert read_header(decompression_bombs.with_jpeg_segments(plain, profile, count)).scans == 1
    assert read_header(decompression_bombs.scan_bomb(64, count)).scans == count + 1


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC9, 0xCA, 0xCF])
def test_rare_codings_of_jpeg_are_not_tried(marker):
    data = pictures.encoded(".jpg").replace(b"\xff\xc0", bytes([0xFF, marker]), 1)
    assert refusal(data) == "unsupported_format"


def test_only_what_makes_the_picture_is_left_of_a_png():
    bare, turned = pictures.encoded(".png"), pictures.oriented_png(6)
    text = pictures.png_chunk(b"tEXt", b"k\0v")
    dressed = turned[:33] + text * 3 + turned[33:]
    assert plain_png(dressed) == (bare, pictures.tiff_orientation(6))
    assert plain_png(bare) == (bare, b"")
    assert np.array_equal(decode(dressed, LIMITS), decode(turned, LIMITS))


@pytest.mark.parametrize("size", [b"\x7f\xff\xff\xff", b"\xff" * 4, b"\0\1\0\0"])
def test_a_chunk_that_lies_about_its_length_is_not_given_to_the_decoder(size):
    """It may take the memory that a chunk of 152 bytes in all says it needs: 2 GB."""
    data = bytearray(decompression_bombs.png(64, 64, between=pictures.png_chunk(b"tEXt", b"k\0v")))
    data[33:37] = size
    plain, _ = plain_png(bytes(data))
    assert b"IDAT" not in plain
    assert refusal(bytes(data)) == "corrupt"


def test_sides_beyond_what_opencv_turns_are_refused():
    assert refusal(pictures.encoded(".png", np.zeros((8, 32_767, 3), np.uint8))) == (
        "too_many_pixels"
    )
    decode(pictures.encoded(".png", np.zeros((8, 32_766, 3), np.uint8)), LIMITS)


MEASURE = r"""
import re, sys
from ml.images.decoding import ImageLimits, decode, inspect
data = open(sys.argv[1], "rb").read()
limits = ImageLimits(10**9, 10**9)
def peak():  # not ru_maxrss, which begins with the parent's
    return int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) * 1024
decode(open(sys.argv[2], "rb").read(), limits)
before = peak()
decode(data, limits)
print(peak() - before, inspect(data, limits).decoding_bytes)
"""

ROTATED = Image.Exif()
ROTATED[0x112] = 6


def large():
    picture = Image.fromarray(decompression_bombs.smooth(3000, 4000))
    return {
        "jpeg": decompression_bombs.saved(picture, "JPEG", exif=ROTATED),
        "progressive": decompression_bombs.saved(
            picture, "JPEG", progressive=True, subsampling=0, exif=ROTATED
        ),
        "cmyk": decompression_bombs.saved(
            picture.convert("CMYK"), "JPEG", progressive=True, exif=ROTATED
        ),
        "png": decompression_bombs.saved(picture, "PNG", compress_level=1, exif=ROTATED),
        "png 16 bit": decompression_bombs.png(4000, 3000, depth=16, colour=6),
        "apng": decompression_bombs.animated("PNG", 1500, 2000, 2),
        "webp": decompression_bombs.saved(picture, "WEBP", method=0, exif=ROTATED),
        "lossless webp": decompression_bombs.saved(picture, "WEBP", method=0, lossless=True),
        "animated webp": decompression_bombs.animated("WEBP", 3000, 4000, 2),
    }


def test_decoding_takes_no_more_memory_than_the_header_tells(tmp_path):
    """The budget of a worker is kept by this estimate."""
    small = tmp_path / "small"
    small.write_bytes(pictures.encoded(".jpg"))
    slack = 16 * 1024 * 1024
    for name, data in large().items():
        file = tmp_path / name
        file.write_bytes(data)
        out = subprocess.run(
            [sys.executable, "-c", MEASURE, str(file), str(small)],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        taken, told = map(int, out.split())
        assert taken <= told + len(data) + slack, name


@settings(max_examples=1000)
@given(seed=st.sampled_from(SEEDS), random=st.randoms(use_true_random=False))
def test_mutated_pictures_are_decoded_as_announced_or_refused(seed, random):
    limits = ImageLimits(10**6, 10**6, 10**8)
    data = decompression_bombs.mutated(seed, random)
    try:
        header = inspect(data, limits)
        image = decode(data, limits)
    except ImageRejected as error:
        assert error.reason
    else:
        assert image.dtype == np.uint8
        assert sorted(image.shape[:2]) == sorted((header.height, header.width))


@pytest.mark.parametrize("name", decompression_bombs.odd_pictures())
def test_odd_pictures_are_decoded_or_refused(name):
    data = decompression_bombs.odd_pictures()[name]
    sides = {"1 x N": "degenerate", "N x 1": "degenerate", "8 x 65535": "too_many_pixels"}
    if reason := sides.get(name):
        assert refusal(data) == reason
    elif "interlaced" not in name:
        assert decode(data, LIMITS).ndim == 3


def test_the_decoder_reads_no_more_scans_than_are_counted():
    """Every scan that the decoder could begin is a marker that the count finds."""
    for count in (9, 40):
        data = decompression_bombs.scan_bomb(64, count)
        assert data.count(b"\xff\xda") == read_header(data).scans
        assert decode(data, LIMITS).shape == (64, 64, 3)
