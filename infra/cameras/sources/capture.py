"""OpenCV's VideoCapture, made quiet: failures are reported by us, once, in one line."""

import os
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

# Read once, when FFmpeg inside OpenCV is first used by anyone; hence at import. -8: AV_LOG_QUIET.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def forget_proxy() -> None:
    """Keep FFmpeg from the environment's proxy: of all such variables it reads this one."""
    os.environ.pop("http_proxy", None)


def quiet_capture(source: str | int, parameters: Sequence[int] = ()) -> cv2.VideoCapture:
    """Open a file, a URL or (by index) a webcam; the caller asks ``isOpened``.

    Args:
        source: path or URL, read by FFmpeg, or the index of a webcam.
        parameters: pairs of OpenCV's ``CAP_PROP_*`` and their values.
    """
    previous = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        if isinstance(source, int):
            return cv2.VideoCapture(source, cv2.CAP_ANY, list(parameters))
        return cv2.VideoCapture(source, cv2.CAP_FFMPEG, list(parameters))
    finally:
        cv2.utils.logging.setLogLevel(previous)


def as_frame(picture: cv2.typing.MatLike) -> NDArray[np.uint8]:
    """The picture as BGR, uint8, (height, width, 3): cameras may deliver grey ones."""
    frame = np.asarray(picture, dtype=np.uint8)
    if frame.ndim == 2:  # noqa: PLR2004 - a plane without channels
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    return frame
