"""Play a source as a camera: read, pace, encode, publish, count."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from domain.events import EventKind, ImageEvent, utc_now
from infra.cameras.encoding import JpegEncoder
from infra.cameras.frame_publisher import FramePublisher
from infra.cameras.identity import camera_source, check_camera
from infra.cameras.sources import FrameSource, SourceFrame


@dataclass(frozen=True, slots=True)
class PlayResult:
    """What one playing did.

    Attributes:
        sent: frames handed to the publisher.
        skipped: files that are no pictures.
        dropped: live frames that newer ones overtook.
        reconnects: how often a lost stream was opened again.
        stopped: it was ended from outside, before the source ended.
    """

    sent: int
    skipped: int
    dropped: int
    reconnects: int
    stopped: bool


class Player:
    """Publishes the frames of sources, each when it is due.

    A recording waits for a slow publisher, so that no frame of it is lost; a live source drops.
    """

    def __init__(
        self,
        publisher: FramePublisher,
        *,
        encoder: JpegEncoder | None = None,
        stop: asyncio.Event | None = None,
    ) -> None:
        """Prepare to play.

        Args:
            publisher: an entered publisher; several players may share it.
            encoder: how frames become JPEGs.
            stop: playing ends as soon as this is set.
        """
        self._publisher = publisher
        self._encoder = encoder or JpegEncoder()
        self._stop = stop or asyncio.Event()

    async def play(
        self,
        source: FrameSource,
        camera: str,
        *,
        limit: int | None = None,
        on_frame: Callable[[ImageEvent, bytes], None] | None = None,
    ) -> PlayResult:
        """Play one source to its end, to the limit or until stopped.

        Frames may still be on their way on return: see `FramePublisher.flush`.

        Args:
            source: closed on return.
            camera: the camera's id, which becomes the key.
            limit: end after so many frames.
            on_frame: called with each event and image that was handed to the publisher.

        Raises:
            BadCameraError: see `check_camera`.
            SourceError: the source cannot be read.
            EncodingError: a frame cannot be encoded.
            PublishError: a frame cannot be delivered.
        """
        check_camera(camera)
        sent = 0
        async with _in_thread(source, self._stop) as frames:
            async for frame in frames:
                if await _sleep_until_due(frame, self._stop):
                    break
                event = ImageEvent(
                    kind=EventKind.FRAME,
                    source=camera_source(camera),
                    id=frame.id,
                    key=camera,
                    captured_at=frame.captured_at,
                )
                data = await self._encoded(frame)
                await self._publisher.publish(event, data)
                sent += 1
                if on_frame is not None:
                    on_frame(event, data)
                if sent == limit:
                    break
        return PlayResult(
            sent=sent,
            skipped=source.counts.skipped,
            dropped=source.counts.dropped,
            reconnects=source.counts.reconnects,
            stopped=self._stop.is_set(),
        )

    async def _encoded(self, frame: SourceFrame) -> bytes:
        if isinstance(frame.data, bytes):
            return frame.data
        return await asyncio.to_thread(self._encoder.encode, frame.data)


async def _sleep_until_due(frame: SourceFrame, stop: asyncio.Event) -> bool:
    """Wait for the frame's moment; True if playing was stopped before that."""
    wait = (frame.captured_at - utc_now()).total_seconds()
    if wait > 0:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), wait)
    return stop.is_set()


@asynccontextmanager
async def _in_thread(
    source: FrameSource, stop: asyncio.Event
) -> AsyncIterator[AsyncIterator[SourceFrame]]:
    """The source's frames, read in one thread of their own: decoding and grabbing block."""
    loop = asyncio.get_running_loop()
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="source")

    async def frames() -> AsyncIterator[SourceFrame]:
        iterator = await loop.run_in_executor(executor, source.frames)
        while not stop.is_set():
            frame = await loop.run_in_executor(executor, _next, iterator)
            if frame is None:
                return
            yield frame

    async def close_on_stop() -> None:
        await stop.wait()
        await asyncio.to_thread(source.close)

    closer = asyncio.create_task(close_on_stop())
    try:
        yield frames()
    finally:
        closer.cancel()
        await asyncio.to_thread(source.close)
        executor.shutdown(wait=False)


def _next(iterator: Iterator[SourceFrame]) -> SourceFrame | None:
    return next(iterator, None)
