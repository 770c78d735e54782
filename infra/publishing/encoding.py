"""Pictures as the pipeline takes them: JPEG, PNG or WebP bytes."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

#: Bytes of a file that suffice to tell its type.
SIGNATURE_BYTES = 12

_EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}


class EncodingError(Exception):
    """OpenCV could not make a JPEG of a frame."""


def media_type(data: bytes) -> str | None:
    """Media type told from the first bytes; None when it is not JPEG, PNG or WebP.

    Sources: JPEG (ISO 10918-1, SOI marker), PNG (RFC 2083, section 3.1), WebP (RFC 9649).
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def extension(kind: str) -> str:
    """File name extension, without a dot, of a media type that `media_type` returns."""
    return _EXTENSIONS[kind]


@dataclass(frozen=True, slots=True)
class JpegEncoder:
    """Makes JPEGs of frames.

    Attributes:
        quality: 1 to 100, as in libjpeg.
        width: frames wider than this are scaled down to it; None leaves them as they are.
    """

    quality: int = 90
    width: int | None = None

    def encode(self, frame: NDArray[np.uint8]) -> bytes:
        """Encode a frame: BGR, uint8, (height, width, 3).

        Raises:
            EncodingError: OpenCV refuses it.
        """
        picture: cv2.typing.MatLike = frame
        height, width = frame.shape[:2]
        if self.width is not None and width > self.width:
            scaled_height = max(1, round(height * self.width / width))
            picture = cv2.resize(frame, (self.width, scaled_height), interpolation=cv2.INTER_AREA)
        try:
            done, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        except cv2.error as error:
            raise EncodingError(f"a frame could not be made into a JPEG: {error.err}") from error
        if not done:
            raise EncodingError("a frame could not be made into a JPEG")
        return encoded.tobytes()
