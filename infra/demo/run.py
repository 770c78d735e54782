"""The steps of the demonstration, in order. Whatever happens, everything is stopped at the end."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import asyncpg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from config.settings import ENV_FILE_VARIABLE, Settings
from domain.events import ImageEvent
from domain.failures import Reject, Retry
from infra.cameras.frame_publisher import FramePublisher
from infra.cameras.player import Player
from infra.cameras.sources import SourceError, open_source
from infra.cameras.storage import image_store
from infra.demo.demo_errors import DemoError
from infra.demo.demo_report import show_addresses, show_gateway, show_health, show_seen, write_sheet
from infra.demo.demo_workers import CommandProcess, Worker
from infra.demo.gateway import Gateway
from infra.demo.material import DemoCamera, Material
from infra.demo.sightings import Sighting, processed, sightings, unrecorded
from infra.embedded.embedded_errors import StackError
from infra.embedded.stack import EmbeddedStack, settings_from
from infra.photos.photo_folders import Person
from infra.processes.run_guard import RunGuard
from infra.processes.signals import stop_event
from streams.clients.image_producer import PublishError
from streams.contract.topics import ROLES

#: Enrols one person; returns one line with the outcome, raises `DemoError`.
Enrol = Callable[[Settings, Person], Awaitable[str]]

INIT_SECONDS = 120.0
#: Longest time without a single further frame being processed, in seconds.
STALL_SECONDS = 90.0

#: How long the end waits for a healthy pipeline without lag, in seconds: the lag is reported some
#: seconds late.
HEALTH_SECONDS = 12.0

#: How long the end waits for the visits of all faces, in seconds.
VISIT_SECONDS = 10.0

_POLL_SECONDS = 0.3

_FAILURES = (
    StackError,
    SourceError,
    PublishError,
    Retry,
    Reject,
    OSError,
    asyncpg.PostgresError,
)


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How the demonstration runs.

    Attributes:
        data_dir: where the servers keep their data; also logs and the contact sheet.
        material: whom to enrol and what to play.
        keep_running: leave servers and workers up until Ctrl-C.
    """

    data_dir: Path
    material: Material
    keep_running: bool = False


@dataclass(slots=True)
class Published:
    """What went onto ``camera.frames``: the encoded image of each event, by its UUID."""

    images: dict[UUID, bytes] = field(default_factory=dict)

    def add(self, event: ImageEvent, data: bytes) -> None:
        """Note one frame."""
        self.images[event.uuid] = data


async def run_demo(options: DemoOptions, enrol: Enrol, console: Console) -> None:
    """Run the demonstration from start to stop.

    Raises:
        DemoError: a step failed, or Ctrl-C came before the end.
    """
    with stop_event() as stop:
        running = asyncio.create_task(_run(options, enrol, console))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                console.print("Stopping")
                running.cancel()
                await asyncio.wait({running})
        finally:
            stopping.cancel()
        if running.cancelled():
            raise DemoError("stopped before it was done")
        await running


async def _run(options: DemoOptions, enrol: Enrol, console: Console) -> None:
    try:
        async with AsyncExitStack() as up:
            await _steps(options, enrol, console, up)
            if options.keep_running:
                console.print("\nEverything stays up; press Ctrl-C to stop.")
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    # Ctrl-C is how a demonstration that was kept running ends. It comes as this
                    # alone: who waited for the signal as well would be cancelled while stopping.
                    return
            console.print("Stopping all of it; --keep-running leaves it up, the console too.")
    except _FAILURES as error:
        raise DemoError(str(error)) from error


async def _steps(options: DemoOptions, enrol: Enrol, console: Console, up: AsyncExitStack) -> None:
    started = time.monotonic()
    guard = up.enter_context(RunGuard())
    with console.status("Starting Postgres, Valkey, S3 and the Kafka-protocol broker"):
        stack = await up.enter_async_context(_servers(options.data_dir))
        settings = settings_from(stack.environment())
        # The commands read this file instead of a .env that may lead elsewhere.
        environment = {
            **stack.environment(),
            **guard.environment,
            ENV_FILE_VARIABLE: str(stack.env_file),
        }
        logs = stack.data_dir / "logs"
    with console.status("Making tables, topics and the bucket"):
        await init_stores(environment, logs)
    with console.status(
        "Starting the detect, identify and follow workers (the first time takes longer)"
    ):
        workers = await up.enter_async_context(
            _workers(environment, logs, settings.workers.stop_timeout)
        )
        gateway = await up.enter_async_context(
            _gateway(environment, logs, settings.api.stop_timeout)
        )
        await asyncio.gather(gateway.ready(), *(worker.ready() for worker in workers))
    console.print(f"Servers and workers are up after {time.monotonic() - started:.0f} s")
    show_gateway(gateway, console)

    await enrol_people(settings, options.material.people, enrol, console)
    published = await play_and_follow(settings, options.material.cameras, workers, console)
    with console.status("Waiting for the visits"):
        seen = await read_sightings(settings, published)
    show_seen(seen, console)
    show_addresses(stack, workers, gateway, console)
    show_health(await gateway.health(HEALTH_SECONDS), console)
    cameras = [camera.camera for camera in options.material.cameras]
    sheet = await asyncio.to_thread(write_sheet, seen, published.images, cameras, stack.data_dir)
    console.print(f"Contact sheet: {sheet}", markup=False, highlight=False, soft_wrap=True)


@asynccontextmanager
async def _servers(data_dir: Path) -> AsyncIterator[EmbeddedStack]:
    stack = EmbeddedStack(data_dir)
    starting = asyncio.create_task(asyncio.to_thread(stack.start))
    try:
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # A start cannot be cut short; what it starts must be known before it is stopped.
            await asyncio.wait({starting})
            raise
        yield stack
    finally:
        await asyncio.to_thread(stack.stop)


@asynccontextmanager
async def _workers(
    environment: Mapping[str, str], logs: Path, stop_seconds: float
) -> AsyncIterator[list[Worker]]:
    workers: list[Worker] = []
    try:
        workers.extend(Worker(kind, environment, logs) for kind in ROLES)
        yield workers
    finally:
        await asyncio.gather(*(worker.stop(stop_seconds) for worker in workers))


@asynccontextmanager
async def _gateway(
    environment: Mapping[str, str], logs: Path, stop_seconds: float
) -> AsyncIterator[Gateway]:
    gateway = Gateway(environment, logs)
    try:
        yield gateway
    finally:
        await gateway.stop(stop_seconds)


async def init_stores(environment: Mapping[str, str], logs: Path) -> None:
    """Run ``fecapass init-db``.

    Raises:
        DemoError: it failed, or took too long.
    """
    command = CommandProcess(("init-db",), environment, logs / "init-db.log")
    try:
        await command.wait(INIT_SECONDS)
    finally:
        await command.stop(seconds=5)


async def enrol_people(
    settings: Settings, people: Sequence[Person], enrol: Enrol, console: Console
) -> None:
    """Enrol everyone, and say so.

    Raises:
        DemoError: a person was refused, or no answer came.
    """
    for person in people:
        with console.status(f"Enrolling {person.label}"):
            outcome = await enrol(settings, person)
        console.print(f"Enrolled {person.label}: {outcome}", markup=False, highlight=False)


async def play_and_follow(
    settings: Settings,
    cameras: Sequence[DemoCamera],
    workers: Sequence[Worker],
    console: Console,
) -> Published:
    """Play all cameras side by side, and wait until every frame is in the ledger.

    Raises:
        DemoError: a worker ended, or nothing was processed any more for `STALL_SECONDS`.
        SourceError: a camera's file cannot be read.
        PublishError: frames could not be published.
    """
    published = Published()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        sending = progress.add_task("frames published", total=sum(c.limit for c in cameras))
        handled = progress.add_task("frames processed", total=sum(c.limit for c in cameras))

        def sent(event: ImageEvent, data: bytes) -> None:
            published.add(event, data)
            progress.update(sending, completed=len(published.images))

        playing = asyncio.create_task(_play(settings, cameras, sent))
        try:
            async for count in _follow(settings, published, playing, workers):
                progress.update(handled, completed=count)
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
        total = len(published.images)
        for task in (sending, handled):
            progress.update(task, total=total, completed=total)
    return published


async def _play(
    settings: Settings, cameras: Sequence[DemoCamera], sent: Callable[[ImageEvent, bytes], None]
) -> None:
    async with (
        image_store(settings) as store,
        FramePublisher(settings.kafka, store_image=store) as publisher,
    ):
        player = Player(publisher)
        try:
            async with asyncio.TaskGroup() as group:
                for camera in cameras:
                    source = open_source(
                        str(camera.location),
                        camera.camera,
                        rate=camera.rate,
                        loop=camera.loop,
                        again=True,
                    )
                    playing = player.play(source, camera.camera, limit=camera.limit, on_frame=sent)
                    group.create_task(playing)
        except ExceptionGroup as failures:
            # The first failure stopped the other cameras; one clear reason is enough.
            raise failures.exceptions[0] from failures
        await publisher.flush()


async def _follow(
    settings: Settings,
    published: Published,
    playing: asyncio.Task[None],
    workers: Sequence[Worker],
) -> AsyncIterator[int]:
    """Yield how many published frames have been processed, until all have."""
    done: set[UUID] = set()
    moved = time.monotonic()
    connection = await asyncpg.connect(settings.main_db.dsn)
    try:
        while True:
            finished = playing.done()
            if finished:
                await playing
            for worker in workers:
                worker.check()
            fresh = await processed(connection, published.images.keys() - done)
            if fresh or not finished:
                moved = time.monotonic()
            done |= fresh
            yield len(done)
            if finished and len(done) == len(published.images):
                return
            if time.monotonic() - moved > STALL_SECONDS:
                raise DemoError(
                    f"{len(published.images) - len(done)} of {len(published.images)} frames were "
                    f"not processed within {STALL_SECONDS:g} s; the workers' logs: "
                    + ", ".join(str(worker.log) for worker in workers)
                )
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        await connection.close()


async def read_sightings(settings: Settings, published: Published) -> list[Sighting]:
    """All faces of the published frames, once their visits are announced."""
    connection = await asyncpg.connect(settings.main_db.dsn)
    try:
        # Unknown people are announced after two seconds; a face that came late may have no visit.
        until = time.monotonic() + VISIT_SECONDS
        while True:
            waiting = await unrecorded(connection, published.images)
            if not waiting or time.monotonic() > until:
                break
            await asyncio.sleep(_POLL_SECONDS)
        return await sightings(connection, published.images)
    finally:
        await connection.close()
