"""Frames as they are kept: as the camera sent them if that is enough, and without metadata."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from ml.images.decoding import ImageLimits, decode, inspect
from ml.images.frame_snapshots import MOST_BYTES, snapshot_of

LIMITS = ImageLimits(1 << 26, 1 << 26)
RNG = np.random.default_rng(5)
SECRET = b"59.9139N 10.7522E"


def scene(height=120, width=160):
    rows, columns = np.mgrid[0:height, 0:width]
    planes = (rows * 255 // height, columns * 255 // width, (rows + columns) % 256)
    return np.stack(planes, axis=2).astype(np.uint8)


def jpeg(picture, **options):
    """A JPEG with EXIF data, a comment, and more behind its end."""
    file = io.BytesIO()
    exif = Pillow.Exif()
    exif[0x010E] = SECRET.decode()
    if turned := options.pop("orientation", None):
        exif[0x0112] = turned
    image = Pillow.fromarray(picture[:, :, ::-1])
    if mode := options.pop("mode", None):
        image = image.convert(mode)
    image.save(file, "JPEG", exif=exif.tobytes(), comment=SECRET, quality=90, **options)
    return file.getvalue() + SECRET


def kept(data, long_side=1280):
    return snapshot_of(data, inspect(data, LIMITS), decode(data, LIMITS), long_side)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"mode": "L"}])
def test_a_small_upright_jpeg_is_taken_as_it_is_without_its_metadata(options):
    data = jpeg(scene(), **options)
    snapshot = kept(data)
    assert SECRET in data
    assert SECRET not in snapshot
    assert b"Exif" not in snapshot
    assert len(snapshot) < len(data)
    assert np.array_equal(decode(snapshot, LIMITS), decode(data, LIMITS)), "the same pixels"
    shown = np.asarray(Pillow.open(io.BytesIO(snapshot)).convert("RGB"))[:, :, ::-1]
    assert shown.shape == (120, 160, 3)


@pytest.mark.parametrize("options", [{"orientation": 6}, {"mode": "CMYK"}])
def test_one_that_is_turned_or_unusual_is_encoded_again(options):
    data = jpeg(scene(), **options)
    snapshot = kept(data)
    assert SECRET not in snapshot
    picture = decode(data, LIMITS)
    assert decode(snapshot, LIMITS).shape == picture.shape
    assert np.mean(cv2.absdiff(decode(snapshot, LIMITS), picture)) < 4


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_other_formats_become_jpeg(suffix):
    data = cv2.imencode(suffix, scene())[1].tobytes()
    snapshot = kept(data)
    assert snapshot.startswith(b"\xff\xd8\xff")
    assert np.mean(cv2.absdiff(decode(snapshot, LIMITS), scene())) < 6


@pytest.mark.parametrize(("size", "expected"), [((120, 160), (75, 100)), ((160, 120), (100, 75))])
def test_a_larger_one_is_scaled_to_the_long_side(size, expected):
    assert decode(kept(jpeg(scene(*size)), 100), LIMITS).shape[:2] == expected


def test_even_noise_is_bounded():
    noise = RNG.integers(0, 256, (1280, 1280, 3)).astype(np.uint8)
    data = cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    assert len(data) > MOST_BYTES
    assert 0 < len(kept(data)) <= MOST_BYTES
    large = RNG.integers(0, 256, (3000, 3000, 3)).astype(np.uint8)
    data = cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
    assert kept(data, 8192) == b""
