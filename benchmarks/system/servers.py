"""Servers in a temporary directory, and what consumes frames there, as processes of their own."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

import numpy as np

from benchmarks.load.frames import Picture
from config.settings import ENV_FILE_VARIABLE, Settings
from domain.arrays import FloatArray
from domain.events import utc_now
from infra.database.create_topics import ensure_topics
from infra.demo.demo_workers import Worker
from infra.demo.run import init_stores
from infra.embedded.stack import EmbeddedStack, settings_from
from ml.recognition.embedders import unit_rows
from ml.recognition.face_analyser import Analyser
from services.users import make_user
from sinks.main.database_sessions import Databases
from sinks.vector.vector_store import Vectors

TRACKING = "FECAPASS_WORKERS__TRACKING"

_NAIVE_PREFIX = "naive."
_STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class System:
    """Running servers, their stores set up and the gallery filled.

    Attributes:
        settings: lead to the servers.
        environment: the same for processes.
        logs: directory of log files.
        pids: the servers' processes by name.
    """

    settings: Settings
    environment: Mapping[str, str]
    logs: Path
    pids: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Consumer:
    """Something that brings frames into the ledger.

    Attributes:
        settings: say where it takes them from.
        pids: its own processes and the servers', by name.
        addresses: where it serves its metrics, if it does.
        check: raises `DemoError` or `OSError` when one of its processes ended.
    """

    settings: Settings
    pids: Mapping[str, int]
    addresses: Sequence[str]
    check: Callable[[], None]


@asynccontextmanager
async def bare_servers() -> AsyncIterator[Settings]:
    """Servers in a temporary directory with their stores set up, empty; no worker."""
    async with AsyncExitStack() as up:
        directory = up.enter_context(server_directory())
        stack = EmbeddedStack(directory)
        up.push_async_callback(asyncio.to_thread, stack.stop)
        await asyncio.to_thread(stack.start)
        environment = {**stack.environment(), ENV_FILE_VARIABLE: str(stack.env_file)}
        await init_stores(environment, directory / "logs")
        yield settings_from(stack.environment())


@asynccontextmanager
async def running_servers(
    threads: int,
    people: Sequence[Picture],
    analyser: Analyser,
    gallery: int,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[System]:
    """Start servers in a temporary directory; stop them and remove it at the end.

    Args:
        threads: of the consumers' models.
        people: a face of each person to enrol.
        analyser: makes the templates.
        gallery: how many further people the gallery holds, with templates drawn at random.
        variables: FECAPASS_* to set differently.
    """
    async with AsyncExitStack() as up:
        directory = up.enter_context(server_directory())
        stack = EmbeddedStack(directory)
        up.push_async_callback(asyncio.to_thread, stack.stop)
        await asyncio.to_thread(stack.start)
        environment = {
            **stack.environment(),
            ENV_FILE_VARIABLE: str(stack.env_file),
            "FECAPASS_MODELS__THREADS": str(threads),
            # As the bare models that they are compared with, unless the variables say otherwise.
            "FECAPASS_MODELS__EXECUTION_PROVIDER": "cpu",
            "FECAPASS_MODELS__PRECISION": "float32",
            TRACKING: "off",
            **variables,
        }
        settings = settings_from(stack.environment())
        await init_stores(environment, directory / "logs")
        await _enrol(settings, people, analyser, gallery)
        records = [server.record for server in stack.servers.values()]
        pids = {record.name: record.pid for record in records if record is not None}
        yield System(settings, environment, directory / "logs", pids)


@asynccontextmanager
async def running_pipeline(
    system: System, kinds: Sequence[str] = ("detect", "identify"), cores: Sequence[int] = ()
) -> AsyncIterator[Consumer]:
    """Workers.

    Args:
        system: the servers.
        kinds: a worker of each; a kind may come again.
        cores: the detect workers are pinned to these, one each, in turns; none: they are not.
    """
    async with AsyncExitStack() as up:
        workers: list[Worker] = []
        for number, kind in enumerate(kinds):
            worker = Worker(kind, system.environment, system.logs / str(number))
            if cores and kind == "detect":
                os.sched_setaffinity(worker.pid, {cores[number % len(cores)]})
            up.push_async_callback(worker.stop, _STOP_SECONDS)
            workers.append(worker)
        await asyncio.gather(*(worker.ready() for worker in workers))

        def check() -> None:
            for worker in workers:
                worker.check()

        yield Consumer(
            settings=system.settings,
            pids={**system.pids, **_names(workers)},
            addresses=[worker.address for worker in workers],
            check=check,
        )


@asynccontextmanager
async def running_naive(system: System) -> AsyncIterator[Consumer]:
    """`benchmarks.system.baseline_consumer`, on its own topics."""
    kafka = system.settings.kafka.model_copy(update={"topic_prefix": _NAIVE_PREFIX})
    await ensure_topics(kafka, lambda _line: None)
    environment = {
        **os.environ,
        **system.environment,
        "FECAPASS_KAFKA__TOPIC_PREFIX": _NAIVE_PREFIX,
    }
    path = system.logs / "naive.log"
    with path.open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - it is started once
            [sys.executable, "-m", "benchmarks.system.baseline_consumer"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )

    def check() -> None:
        if process.poll() is not None:
            last = "\n".join(path.read_text(errors="replace").splitlines()[-15:])
            raise OSError(f"the naive consumer ended with exit code {process.returncode}:\n{last}")

    try:
        yield Consumer(
            settings=system.settings.model_copy(update={"kafka": kafka}),
            pids={**system.pids, "naive": process.pid},
            addresses=(),
            check=check,
        )
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


def _names(workers: Sequence[Worker]) -> dict[str, int]:
    """Process ids by name: ``worker detect``, a second one ``worker detect 2``."""
    names: dict[str, int] = {}
    for worker in workers:
        name, count = f"worker {worker.kind}", 2
        while name in names:
            name, count = f"worker {worker.kind} {count}", count + 1
        names[name] = worker.pid
    return names


@contextmanager
def server_directory() -> Iterator[Path]:
    """A directory for servers: open enough for Postgres, which may run as another user."""
    path = Path(tempfile.mkdtemp(prefix="fecapass-benchmark-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


async def _enrol(
    settings: Settings, people: Sequence[Picture], analyser: Analyser, strangers: int
) -> None:
    """Fill the gallery without the detour over uploads."""
    model, random = analyser.embedder, np.random.default_rng(1)
    found = [face.embedding for picture in people for face in analyser.analyse([picture])[0][:1]]
    await enrol_templates(settings, model.id, found)
    async with Vectors(settings.vector_db) as vectors:
        for embedding in unit_rows(
            random.standard_normal((strangers, model.dimension), np.float32)
        ):
            await vectors.enrol(uuid4(), uuid4(), model.id, embedding, utc_now())


async def enrol_templates(settings: Settings, model: str, templates: Sequence[FloatArray]) -> None:
    """Enrol a user for each template: float32 (D,) of length 1."""
    async with Databases(settings) as databases, databases.main.begin() as session:
        rows = [
            ((await make_user(session, "benchmark", f"{uuid4()}@example.com", None)).id, template)
            for template in templates
        ]
    async with Vectors(settings.vector_db) as vectors:
        for user_id, embedding in rows:
            await vectors.enrol(uuid4(), user_id, model, embedding, utc_now())
