"""Live cameras: RTSP and HTTP streams, and webcams. The newest frame wins."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime  # noqa: TC003
from urllib.parse import urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from config.network.http_proxies import is_loopback
from domain.events import utc_now
from infra.cameras.identity import frame_id, new_run_id
from infra.cameras.sources.capture import as_frame, forget_proxy, quiet_capture
from infra.cameras.sources.frame_source import SourceCounts, SourceError, SourceFrame

#: Bounds of the pause between two attempts to reach a stream, in seconds.
RECONNECT_INITIAL = 0.5
RECONNECT_MAXIMUM = 15.0

#: How long a stream may take to open, and to deliver the next frame, in milliseconds.
STREAM_TIMEOUT_MS = 5000

#: How long `LiveSource.close` waits for the grabbing thread, in seconds.
_JOIN_SECONDS = 1.0


class LiveSource:
    """A camera that does not wait: a thread grabs frames and keeps only the newest.

    A stream that was reached once and is lost is opened again for as long as it takes, with
    growing pauses; one that cannot be reached at all is an error.
    """

    def __init__(
        self,
        address: str | int,
        *,
        rate: float | None = None,
        environment_proxy: bool = False,
        reconnect_initial: float = RECONNECT_INITIAL,
        reconnect_maximum: float = RECONNECT_MAXIMUM,
    ) -> None:
        """Prepare to connect.

        Args:
            address: an ``rtsp://`` or ``http(s)://`` URL, or the index of a webcam.
            rate: at most so many frames a second; None takes all. Frames in between are passed
                over and not counted as dropped.
            environment_proxy: reach an HTTP stream through the proxy that ``http_proxy`` names;
                never one on this machine.
            reconnect_initial: first pause before a lost stream is opened again, seconds.
            reconnect_maximum: longest such pause, seconds.
        """
        self._address = address
        self._interval = 1 / rate if rate else 0.0
        self._environment_proxy = environment_proxy and not _is_local(address)
        self._reconnect_initial = reconnect_initial
        self._reconnect_maximum = reconnect_maximum
        self._run = new_run_id()
        self._changed = threading.Condition()
        self._newest: tuple[NDArray[np.uint8], datetime] | None = None
        self._failure: SourceError | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self.counts = SourceCounts()

    @property
    def length(self) -> int | None:
        """Unknown: the stream continues until it is closed."""
        return None

    @property
    def name(self) -> str:
        """The address without user name, password and query, fit for messages."""
        if isinstance(self._address, int):
            return f"webcam {self._address}"
        return without_credentials(self._address)

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the newest frame at each request.

        Unless the proxy of the environment is to be used, it is removed from this process's
        environment: FFmpeg, which reopens streams by itself, would send requests there.

        Raises:
            SourceError: the camera cannot be reached at the start.
        """
        if not self._environment_proxy:
            forget_proxy()
        self._thread = threading.Thread(target=self._grab, name="grab", daemon=True)
        self._thread.start()
        number = 0
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._newest or self._failure or self._closing.is_set()
                )
                if self._closing.is_set():
                    return
                if self._failure:
                    raise self._failure
                newest, self._newest = self._newest, None
            if newest is not None:
                frame, captured_at = newest
                yield SourceFrame(frame, captured_at, frame_id(self._run, number))
                number += 1

    def close(self) -> None:
        """Stop grabbing; ends `frames`."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)

    def _grab(self) -> None:
        """Body of the thread: connect, read until the stream is lost, connect again."""
        pause, reached = self._reconnect_initial, False
        while not self._closing.is_set():
            capture = self._open()
            try:
                if capture.isOpened() and self._read_all(capture):
                    reached, pause = True, self._reconnect_initial
                elif not reached:
                    self._fail(SourceError(f"cannot read from {self.name}"))
                    return
            finally:
                capture.release()
            if self._closing.wait(pause):
                return
            pause = min(pause * 2, self._reconnect_maximum)
            self.counts.reconnects += 1

    def _open(self) -> cv2.VideoCapture:
        if isinstance(self._address, int):
            return quiet_capture(self._address)
        return quiet_capture(
            self._address,
            (
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                STREAM_TIMEOUT_MS,
                cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                STREAM_TIMEOUT_MS,
            ),
        )

    def _read_all(self, capture: cv2.VideoCapture) -> bool:
        """Read until the stream ends; True if it gave at least one frame."""
        any_frame, due = False, 0.0
        while not self._closing.is_set():
            done, picture = capture.read()
            if not done:
                break
            any_frame = True
            now = time.monotonic()
            if now < due:
                continue
            # The next frame is due one interval after this one was, not after it happened to
            # come: else every delay would lower the rate.
            due = max(due + self._interval, now - self._interval) if due else now + self._interval
            self._offer(as_frame(picture))
        return any_frame

    def _offer(self, frame: NDArray[np.uint8]) -> None:
        with self._changed:
            if self._newest is not None:
                self.counts.dropped += 1
            self._newest = (frame, utc_now())
            self._changed.notify_all()

    def _fail(self, failure: SourceError) -> None:
        with self._changed:
            self._failure = failure
            self._changed.notify_all()


def _is_local(address: str | int) -> bool:
    return isinstance(address, str) and is_loopback(urlsplit(address).hostname or "")


def without_credentials(url: str) -> str:
    """The URL without user, password, query and fragment, where cameras keep their secrets."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", None
    with suppress(ValueError):
        port = parts.port
    location = f"{host}:{port}" if port else host
    return f"{parts.scheme}://{location}{parts.path}"
