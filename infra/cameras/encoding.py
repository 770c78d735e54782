"""Frames of a video as JPEGs."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


class EncodingError(Exception):
    """OpenCV could not make a JPEG of a frame."""


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
