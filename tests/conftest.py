"""Fixtures for the whole suite."""

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
import pytest_asyncio

from config.settings import Settings
from infra.database.init_db import initialise
from infra.embedded.stack import EmbeddedStack, settings_from
from infra.processes.run_guard import RunGuard
from infra.processes.signals import take_sigterm_for_ctrl_c
from sinks.cache.answer_waiter import AnswerWaiter
from sinks.cache.recent_matches import Recents
from sinks.main.main_store import Records
from sinks.objects.crops import Crops
from sinks.vector.vector_store import Vectors
from tests import parallel
from tests.http_proxy import VARIABLES as PROXY_VARIABLES

if TYPE_CHECKING:
    from tests.containers import ContainerStack

for _name in PROXY_VARIABLES:
    # Tests talk to this machine; their own clients would take the caller's proxy for it.
    os.environ.pop(_name, None)

hypothesis.settings.register_profile("fecapass", max_examples=100, deadline=None)
hypothesis.settings.load_profile("fecapass")

#: Which servers the tests run against. No test asks: they take `stack` and `settings`.
STACK_VARIABLE = "FECAPASS_TEST_STACK"


def pytest_configure(config: pytest.Config) -> None:
    """One process of several, or the one that starts them, ends like any other."""
    take_sigterm_for_ctrl_c()
    config.pluginmanager.register(parallel.Parallel())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items[:] = parallel.arrange(items, config.rootpath)


def pytest_runtest_setup() -> None:
    """Set it for every test, because programs under test have handlers of their own."""
    take_sigterm_for_ctrl_c()


@pytest.fixture(scope="session", autouse=True)
def _run_guard() -> Iterator[None]:
    """Whatever a test starts ends with the run, also where the run is killed."""
    with pytest.MonkeyPatch.context() as patch, RunGuard() as guard:
        for name, value in guard.environment.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared files next to the repository: labelled photos, clips, test-only weights."""
    named = os.environ.get("FECAPASS_SHARED")
    path = Path(named) if named else Path(__file__).parents[2] / "shared"
    if not path.is_dir():
        pytest.skip(f"no shared material at {path}; set FECAPASS_SHARED to point at it")
    return path


@contextmanager
def reachable_directory() -> Iterator[Path]:
    """A directory for a stack. Pytest's own are private, and Postgres may be another user."""
    path = Path(tempfile.mkdtemp(prefix="fecapass-test-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """An empty data directory, for a test that runs a stack of its own."""
    with reachable_directory() as path:
        yield path


@pytest.fixture(scope="session")
def stack() -> "Iterator[EmbeddedStack | ContainerStack]":
    """Running servers, once a session, with the means to stop, kill and restart each."""
    chosen = os.environ.get(STACK_VARIABLE, "embedded")
    if chosen == "embedded":
        with reachable_directory() as path, EmbeddedStack(path) as running:
            yield running
    elif chosen == "containers":
        from tests.containers import ContainerStack, missing_engine

        if reason := missing_engine():
            pytest.skip(reason)
        with ContainerStack() as running_containers:
            yield running_containers
    else:
        pytest.fail(f"{STACK_VARIABLE}={chosen}: it is 'embedded' or 'containers'")


@pytest.fixture(scope="session")
def environment(stack: "EmbeddedStack | ContainerStack") -> dict[str, str]:
    """The FECAPASS_* variables for programs that a test starts; names are this session's own."""
    session = secrets.token_hex(4)
    servers = stack.environment()
    # The embedded stack's own pays for its latency with a quarter of a core, idle or not.
    quieter = {name: "0.05" for name in servers if name == "FECAPASS_KAFKA__FETCH_MAX_WAIT"}
    return servers | {
        **quieter,
        "FECAPASS_KAFKA__TOPIC_PREFIX": f"t{session}.",
        "FECAPASS_S3__BUCKET": f"fecapass-{session}",
        # Tests send more garbage than a worker should put up with.
        "FECAPASS_WORKERS__DEAD_LETTER_SHARE": "1",
        # Whatever a test adds sees all frames.
        "FECAPASS_MODELS__SHADOW_SHARE": "1",
        # Matches of a made-up past stay listed, however many newer ones other tests leave.
        "FECAPASS_REDIS__RECENT_MATCHES_KEPT": "1000000",
        # Tests enrol the few people of the samples again and again, each time as another user.
        "FECAPASS_MODELS__ENROL_COMPARE": "false",
    }


@pytest.fixture(scope="session")
def settings(environment: dict[str, str]) -> Settings:
    """The settings that lead to the session's servers."""
    return settings_from(environment)


@pytest_asyncio.fixture(scope="session")
async def prepared(settings: Settings) -> Settings:
    """Settings that lead to servers on which ``init-db`` has run."""
    await initialise(settings, [], lambda _line: None)
    return settings


@pytest_asyncio.fixture(scope="session")
async def records(prepared: Settings) -> AsyncIterator[Records]:
    async with Records(prepared.main_db) as sink:
        yield sink


@pytest_asyncio.fixture(scope="session")
async def vectors(prepared: Settings) -> AsyncIterator[Vectors]:
    async with Vectors(prepared.vector_db) as sink:
        yield sink


@pytest_asyncio.fixture(scope="session")
async def crops(prepared: Settings) -> AsyncIterator[Crops]:
    async with Crops(prepared.s3) as sink:
        yield sink


@pytest_asyncio.fixture(scope="session")
async def recents(prepared: Settings) -> AsyncIterator[Recents]:
    async with Recents(prepared.redis) as sink:
        yield sink


@pytest_asyncio.fixture(scope="session")
async def waiter(prepared: Settings) -> AsyncIterator[AnswerWaiter]:
    """Waits for answers to uploads, as the API does."""
    opened = AnswerWaiter(prepared.redis)
    yield opened
    await opened.close()
