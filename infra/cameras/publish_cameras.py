"""What `fecapass publish` does: one source, played as one camera, with progress."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from config.settings import DetectSettings
from domain.events import ImageEvent
from infra.cameras.encoding import JpegEncoder
from infra.cameras.frame_publisher import FramePublisher
from infra.cameras.identity import check_camera
from infra.cameras.player import Player, PlayResult
from infra.cameras.sources import FrameSource, PictureSource, open_source
from infra.cameras.storage import image_store
from infra.processes.signals import stop_event
from streams.clients.image_producer import PublishError

#: How long frames in flight may take to be acknowledged after Ctrl-C, in seconds.
FLUSH_SECONDS = 10.0

_REFRESH_SECONDS = 0.2


class UsageError(Exception):
    """Options that do not go together; the message is one line for the user."""


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """The options of `fecapass publish`.

    Attributes:
        location: see `open_source`.
        camera: the camera's id, which becomes the key.
        rate: frames a second; None leaves it to the source.
        loop: begin again at the end.
        again: new ids for pictures that may have been sent before.
        environment_proxy: reach an HTTP stream through the proxy that ``http_proxy`` names.
        limit: end after so many frames.
        claim_check: by S3, or inline; None leaves it to the settings.
        width: frames of videos and live sources are scaled down to it.
        quality: JPEG quality of such frames.
    """

    location: str
    camera: str
    rate: float | None = None
    loop: bool = False
    again: bool = False
    environment_proxy: bool = False
    limit: int | None = None
    claim_check: bool | None = None
    width: int | None = None
    quality: int | None = None


@dataclass(frozen=True, slots=True)
class PublishReport:
    """How a publishing ended.

    Attributes:
        played: what was handed over.
        acknowledged: how many frames the broker confirmed.
    """

    played: PlayResult
    acknowledged: int

    def line(self, camera: str) -> str:
        """One line for the user."""
        extras = [
            f"{number} {what}"
            for number, what in (
                (
                    self.played.skipped,
                    "files or folders skipped: no pictures, hidden or empty",
                ),
                (self.played.dropped, "dropped for newer ones"),
                (self.played.reconnects, "reconnects"),
            )
            if number
        ]
        head = "stopped: " if self.played.stopped else ""
        tail = f" ({', '.join(extras)})" if extras else ""
        return (
            f"{head}camera {camera}: {self.played.sent} frame{'s' * (self.played.sent != 1)} sent, "
            f"{self.acknowledged} acknowledged{tail}"
        )


async def publish(
    settings: DetectSettings, options: PublishOptions, console: Console
) -> PublishReport:
    """Play the source until it ends, the limit is reached, or Ctrl-C.

    Args:
        settings: broker, topics, and S3 for claim checks.
        options: what to publish, and how.
        console: where progress is shown, if it is a terminal.

    Raises:
        UsageError: the options do not go together.
        BadCameraError: an event cannot carry the camera's id.
        SourceError: the source cannot be read.
        EncodingError: a frame cannot be made into a JPEG.
        PublishError: frames could not be delivered; says how many were.
    """
    check_camera(options.camera)
    source = open_source(
        options.location,
        options.camera,
        rate=options.rate,
        loop=options.loop,
        again=options.again,
        environment_proxy=options.environment_proxy,
    )
    if isinstance(source, PictureSource) and (options.width or options.quality):
        raise UsageError(
            "--width and --quality are for videos and live sources; pictures are sent as they are"
        )
    encoder = JpegEncoder(width=options.width, **_quality(options))
    with stop_event() as stop:
        async with _publisher(settings, options) as publisher:
            player = Player(publisher, encoder=encoder, stop=stop)
            try:
                with _progress(console, source, options, publisher) as shown:
                    played = await player.play(
                        source, options.camera, limit=options.limit, on_frame=shown.advance
                    )
                    await asyncio.wait_for(
                        publisher.flush(), FLUSH_SECONDS if played.stopped else None
                    )
            except TimeoutError:
                raise PublishError(
                    f"stopped; {publisher.acknowledged} frames were acknowledged, "
                    f"{publisher.in_flight} were not in {FLUSH_SECONDS:g} s"
                ) from None
            except PublishError as error:
                with suppress(TimeoutError):
                    await asyncio.wait_for(publisher.settled(), FLUSH_SECONDS)
                lost = publisher.failed + publisher.in_flight
                raise PublishError(
                    f"{error}; {lost} frame{'s' * (lost != 1)} failed, "
                    f"{publisher.acknowledged} were acknowledged"
                ) from error
            return PublishReport(played, publisher.acknowledged)


def _quality(options: PublishOptions) -> dict[str, int]:
    return {} if options.quality is None else {"quality": options.quality}


@asynccontextmanager
async def _publisher(
    settings: DetectSettings, options: PublishOptions
) -> AsyncIterator[FramePublisher]:
    async with (
        image_store(settings) as store,
        FramePublisher(
            settings.kafka, store_image=store, claim_check=options.claim_check
        ) as publisher,
    ):
        yield publisher


class _Shown:
    """The progress display, fed with what is sent."""

    def __init__(
        self,
        progress: Progress,
        options: PublishOptions,
        source: FrameSource,
        publisher: FramePublisher,
    ) -> None:
        self._progress = progress
        self._source = source
        self._publisher = publisher
        self._limit = options.limit
        self._task = progress.add_task("", total=options.limit, camera=options.camera, dropped="")

    def advance(self, _event: ImageEvent, _data: bytes) -> None:
        """One frame more was handed over."""
        known = [count for count in (self._limit, self._source.length) if count is not None]
        dropped = self._source.counts.dropped
        self._progress.update(
            self._task,
            total=min(known, default=None),
            completed=self._publisher.acknowledged,
            dropped=f"{dropped} dropped" if dropped else "",
        )


@contextmanager
def _progress(
    console: Console, source: FrameSource, options: PublishOptions, publisher: FramePublisher
) -> Iterator[_Shown]:
    """A bar on a terminal; nothing elsewhere, where the closing line must do."""
    progress = Progress(
        SpinnerColumn(),
        TextColumn("camera {task.fields[camera]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames acknowledged"),
        TextColumn("{task.fields[dropped]}"),
        console=console,
        disable=not console.is_terminal,
        refresh_per_second=1 / _REFRESH_SECONDS,
        transient=True,
    )
    with progress:
        yield _Shown(progress, options, source, publisher)
