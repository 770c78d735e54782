"""Bytes to pixels and back."""

import struct
from dataclasses import dataclass

import cv2
import numpy as np

from ml.arrays import Image
from ml.errors import ImageRejected
from ml.image_headers import read_header

__all__ = ["Image", "ImageLimits", "decode", "encode_jpeg"]

#: No face that a detector finds fits into fewer pixels; 1xN pictures are artefacts or attacks.
MIN_SIDE = 8

_EXIF_PREFIX = b"Exif\x00\x00"


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """How large an image may be: as bytes, and as pixels once decoded."""

    max_bytes: int
    max_pixels: int


def decode(data: bytes, limits: ImageLimits) -> Image:
    """Decode a JPEG, PNG or WebP image.

    The size is read from the header and refused before anything is decoded, so a decompression
    bomb costs nothing. The orientation in the image's EXIF data is applied. All become 8-bit BGR:
    16-bit samples are scaled down, grey and palette spread, CMYK converted; of an animation the
    first frame counts. An alpha channel is dropped, not blended: a face under a transparent mask
    is still the face that was photographed. A truncated picture is refused as corrupt, even when
    a part could be shown: half a face must not become somebody's template.

    Args:
        data: the encoded image.
        limits: refuse what is larger.

    Returns:
        uint8 array (H, W, 3), BGR, upright.

    Raises:
        ImageRejected: with the reason.
    """
    if not data:
        raise ImageRejected("empty", "the image has no bytes")
    if len(data) > limits.max_bytes:
        raise ImageRejected(
            "too_many_bytes", f"the image has {len(data)} bytes, {limits.max_bytes} are allowed"
        )
    header = read_header(data)
    if min(header.width, header.height) < MIN_SIDE:
        raise ImageRejected(
            "degenerate",
            f"the image is {header.width}x{header.height} pixels; no face fits into it",
        )
    if header.width * header.height > limits.max_pixels:
        raise ImageRejected(
            "too_many_pixels",
            f"the image is {header.width}x{header.height} pixels, "
            f"{limits.max_pixels} in all are allowed",
        )
    if header.format == "webp":
        data = _with_plain_exif(data)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_BGR)
    except cv2.error:
        image = None
    if image is None:
        raise ImageRejected("corrupt", f"the {header.format.upper()} cannot be decoded")
    return np.asarray(image, np.uint8)


def encode_jpeg(image: Image, quality: int) -> bytes:
    """Encode as JPEG.

    Args:
        image: uint8 array (H, W, 3), BGR.
        quality: 0 to 100.
    """
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes()


def _with_plain_exif(data: bytes) -> bytes:
    """Drop the prefix that many writers put before the EXIF data of a WebP.

    It belongs to JPEG; RFC 9649 has none, and OpenCV then finds no orientation.
    """
    position = 12
    while position + 8 <= len(data):
        (size,) = struct.unpack_from("<I", data, position + 4)
        start = position + 8
        if data[position : position + 4] == b"EXIF" and data.startswith(_EXIF_PREFIX, start):
            total, prefix = len(data), len(_EXIF_PREFIX)
            return b"".join(
                (
                    b"RIFF",
                    struct.pack("<I", total - 8 - prefix),
                    data[8 : position + 4],
                    struct.pack("<I", max(size - prefix, 0)),
                    data[start + prefix :],
                )
            )
        position = start + size + (size & 1)
    return data
