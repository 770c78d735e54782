"""A video file, played as if it were a camera."""

import math
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from domain.events import utc_now
from infra.cameras.identity import frame_id, new_run_id
from infra.cameras.sources.capture import as_frame, quiet_capture
from infra.cameras.sources.frame_source import SourceCounts, SourceError, SourceFrame

#: Frame rate assumed of a file that names none, in frames a second.
FALLBACK_RATE = 25.0


class VideoSource:
    """The frames of a video file at the times that the file gives them, or at a rate."""

    def __init__(self, path: Path, *, rate: float | None = None, loop: bool = False) -> None:
        """Prepare to play.

        Args:
            path: any container and codec that OpenCV's FFmpeg reads.
            rate: frames a second, all frames being sent; None plays at the file's own times.
            loop: start again at the end, for ever; the time continues.
        """
        self._path = path
        self._rate = rate
        self._loop = loop
        self._run = new_run_id()
        self._closed = threading.Event()
        self._length: int | None = None
        self._frame_seconds = 1 / FALLBACK_RATE
        self.counts = SourceCounts()

    @property
    def length(self) -> int | None:
        """How many frames the file says it has; known once playing has begun."""
        return None if self._loop else self._length

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the frames.

        Raises:
            SourceError: the file cannot be read as a video.
        """
        start, offset, last, number = utc_now(), 0.0, 0.0, 0
        while not self._closed.is_set():
            first_of_round = number
            for seconds, frame in self._round():
                if self._closed.is_set():
                    return
                at = number / self._rate if self._rate else offset + seconds
                yield SourceFrame(
                    data=frame,
                    captured_at=start + timedelta(seconds=at),
                    id=frame_id(self._run, number),
                )
                number += 1
                last = seconds
            if number == first_of_round:
                raise SourceError(f"no frame could be decoded from {self._path}")
            if not self._loop:
                return
            offset += last + self._frame_seconds

    def close(self) -> None:
        """Stop before the next frame."""
        self._closed.set()

    def _round(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Play the file once: seconds since its first frame, strictly increasing, and frames."""
        if not self._path.is_file():
            raise SourceError(f"there is no file {self._path}")
        capture = quiet_capture(str(self._path))
        try:
            if not capture.isOpened():
                raise SourceError(f"{self._path} is not a video that can be read")
            rate = capture.get(cv2.CAP_PROP_FPS)
            self._frame_seconds = 1 / (rate if math.isfinite(rate) and rate > 0 else FALLBACK_RATE)
            count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
            self._length = int(count) if count > 0 else None
            first: float | None = None
            seconds = -self._frame_seconds
            while True:
                done, picture = capture.read()
                if not done:
                    return
                stamp = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                first = stamp if first is None else first
                # Some containers repeat or lack time stamps; the time must continue anyway.
                expected = seconds + self._frame_seconds
                seconds = stamp - first if stamp - first > seconds else expected
                yield seconds, as_frame(picture)
        finally:
            capture.release()
