"""Bytes to pixels and back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from domain.arrays import Image
from domain.images.image_errors import ImageRejected
from domain.images.image_headers import ImageHeader, read_header
from ml.images.exif import upright
from ml.images.image_chunks import plain_webp
from ml.images.jpeg import decode_jpeg
from ml.images.png import decode_png

__all__ = [
    "Image",
    "ImageHeader",
    "ImageLimits",
    "decode",
    "decode_inspected",
    "encode_jpeg",
    "inspect",
]

#: No face that a detector finds fits into fewer pixels; 1xN pictures are artefacts or attacks.
MIN_SIDE = 8

#: OpenCV turns and scales pictures whose sides fit into 16 bits.
MAX_SIDE = 32_766

# What it has to say of a picture, it says by its result; its log would go to standard error.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_AS_STORED = cv2.IMREAD_COLOR_BGR | cv2.IMREAD_IGNORE_ORIENTATION


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """How large an image may be.

    Attributes:
        max_bytes: encoded.
        max_pixels: once decoded.
        max_work: pixels times scans. Only a JPEG has several scans; for each, the decoder
            processes the whole picture, and a scan may have only some ten bytes.
    """

    max_bytes: int
    max_pixels: int
    max_work: int = 1_000_000_000


def inspect(data: bytes, limits: ImageLimits) -> ImageHeader:
    """Look at an image without decoding it.

    Size and scans are read from the headers, so a decompression bomb costs nothing, and what
    comes past here is decoded in bounded time and memory.

    Args:
        data: the encoded image.
        limits: refuse what is larger.

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
    size = f"{header.width}x{header.height} pixels"
    if min(header.width, header.height) < MIN_SIDE:
        raise ImageRejected("degenerate", f"the image is {size}; no face fits into it")
    if header.pixels > limits.max_pixels:
        raise ImageRejected(
            "too_many_pixels", f"the image is {size}, {limits.max_pixels} in all are allowed"
        )
    if max(header.width, header.height) > MAX_SIDE:
        raise ImageRejected("too_many_pixels", f"the image is {size}, {MAX_SIDE} a side allowed")
    if header.work > limits.max_work:
        raise ImageRejected("too_complex", f"the image is {size} in {header.scans} scans")
    return header


def decode(data: bytes, limits: ImageLimits) -> Image:
    """Decode a JPEG, PNG or WebP image.

    The orientation in the image's EXIF data is applied. All become 8-bit BGR: 16-bit samples are
    scaled down, grey and palette spread, CMYK converted; of an animated WebP the first frame
    counts, of an animated PNG the picture that programs show which know no animation. An alpha
    channel is dropped, not blended: a face under a transparent mask is still the face that was
    photographed. A picture of which something is missing is refused as corrupt, even when a viewer
    would show it: half a face must not become a template. How a file ends does not matter.

    Args:
        data: the encoded image.
        limits: refuse what is larger (see `inspect`).

    Returns:
        uint8 array (H, W, 3), BGR, upright.

    Raises:
        ImageRejected: with the reason.
    """
    return decode_inspected(data, inspect(data, limits))


def decode_inspected(data: bytes, header: ImageHeader) -> Image:
    """Decode an image that `inspect` has let pass; see `decode`.

    Args:
        data: the encoded image.
        header: what `inspect` said of it.

    Raises:
        ImageRejected: ``corrupt``.
    """
    return upright(*_DECODERS[header.format](data))


def _decode_webp(data: bytes) -> tuple[Image, bytes]:
    plain, exif = plain_webp(data)
    try:
        image = cv2.imdecode(np.frombuffer(plain, np.uint8), _AS_STORED)
    except cv2.error:
        image = None
    if image is None:
        raise ImageRejected("corrupt", "the WebP cannot be decoded")
    return np.asarray(image, np.uint8), exif


_DECODERS: Mapping[str, Callable[[bytes], tuple[Image, bytes]]] = {
    "jpeg": decode_jpeg,
    "png": decode_png,
    "webp": _decode_webp,
}


def encode_jpeg(image: Image, quality: int) -> bytes:
    """Encode as JPEG.

    Args:
        image: uint8 array (H, W, 3), BGR.
        quality: 0 to 100.
    """
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes()
