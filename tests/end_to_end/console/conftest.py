"""The console in a real browser, on the running pipeline."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from sinks.main.visit_store import VisitStore
from tests.end_to_end import photos
from tests.end_to_end.api.conftest import (  # noqa: F401 - fixtures
    FACES,
    USERS,
    enrol,
    gateway,
    http,
    new_key,
    new_user,
)
from tests.end_to_end.console.announced import Announcer

#: Another browser than the one on the path.
CHROMIUM_VARIABLE = "CHROMIUM"

#: Nothing in the background: what moves on the page is the console's own.
_FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

#: Longest wait for something to appear; the pipeline may share a small machine with others.
PATIENCE_MS = 60_000

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where the browser is."""
    named = os.environ.get(CHROMIUM_VARIABLE)
    found = named or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip(
            f"no Chromium on the path: apt-get install chromium, or name one in {CHROMIUM_VARIABLE}"
        )
    return found


@pytest_asyncio.fixture(scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        # The pages are our own; root's Chromium has no sandbox.
        opened = await playwright.chromium.launch(
            executable_path=chromium, args=_FLAGS, chromium_sandbox=False
        )
        yield opened
        await opened.close()


@dataclass
class Opened:
    """A page and what went wrong in it."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda message: (
                self.complaints.append(message.text)
                if message.type in {"error", "warning"}
                # What the server refuses is the subject of tests.
                and "Failed to load resource" not in message.text
                else None
            ),
        )


OpenPage = Callable[..., Awaitable[Page]]


@pytest_asyncio.fixture
async def open_page(browser, request) -> AsyncIterator[OpenPage]:
    """Opens pages in contexts of their own; whatever they complain about fails the test."""
    opened: list[Opened] = []
    contexts = []

    async def open_one(address: str, key: str | None = None, **options: object) -> Page:
        context = await browser.new_context(
            **{
                "viewport": DESKTOP,
                "locale": "en-GB",
                "timezone_id": "UTC",
                "reduced_motion": "reduce",  # much of what a browser without a GPU has to do
            }
            | options
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        if key is not None:
            await context.add_init_script(
                "if (location.host) "  # about:blank has no storage
                f"sessionStorage.setItem('fecapass-api-key', '{key}')"
            )
        one = Opened(await context.new_page())
        opened.append(one)
        one.listen()
        await one.page.goto(address)
        return one.page

    yield open_one
    for context in contexts:
        await context.close()
    assert [complaint for one in opened for complaint in one.complaints] == []


@pytest_asyncio.fixture(scope="session")
async def key(http, prepared) -> str:  # noqa: F811 - the fixture of that name
    return await new_key(prepared, "admin")


@pytest_asyncio.fixture
async def console(open_page, gateway, key):  # noqa: F811 - the fixture of that name
    """Opens a view of the console, with a key that may do everything."""

    async def view(path: str = "/", **options: object) -> Page:
        return await open_page(f"{gateway.address}/#{path}", key, **options)

    return view


@pytest_asyncio.fixture
async def alone(http) -> AsyncIterator[None]:  # noqa: F811 - the fixture of that name
    """No other user is in the gallery: the same face under two names would be ambiguous."""
    others = await active_users(http)
    for user in others:
        await http.patch(f"{USERS}/{user}", json={"is_active": False})
    yield
    for user in others:
        await http.patch(f"{USERS}/{user}", json={"is_active": True})


async def active_users(http: httpx.AsyncClient) -> Sequence[str]:  # noqa: F811 - no fixture
    found: list[str] = []
    query: dict[str, object] = {"is_active": True, "limit": 200}
    while True:
        page = (await http.get(USERS, params=query)).json()
        found += [user["id"] for user in page["items"]]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


@pytest_asyncio.fixture
async def eileen(alone, http, new_user, enrol) -> AsyncIterator[str]:  # noqa: F811 - fixtures
    """The astronaut is the only enrolled user."""
    user = await new_user("Eileen Collins")
    assert (await enrol(user, photos.astronaut())).status_code == 201
    yield user
    await http.delete(f"{USERS}/{user}")


@pytest_asyncio.fixture
async def announce(prepared, records, crops, producer, topics) -> AsyncIterator[Announcer]:
    """Stores and announces visits, as the visits agent does."""
    async with VisitStore(prepared.main_db) as visits:
        yield Announcer(visits, records, crops, producer, topics)


@pytest.fixture
def shot(tmp_path: Path) -> Callable[[Page, str], Awaitable[Path]]:
    """Takes screenshots into the test's directory."""

    async def take(page: Page, name: str) -> Path:
        path = tmp_path / f"{name}.png"
        await page.screenshot(path=path)
        return path

    return take


def picture_file(name: str, data: bytes) -> dict[str, object]:
    """A file to choose."""
    kind = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
    return {"name": name, "mimeType": kind, "buffer": data}
