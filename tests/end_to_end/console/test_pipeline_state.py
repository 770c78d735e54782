"""The header says whether anything is recognised at all."""

import re
import secrets

import pytest_asyncio
from playwright.async_api import expect

from infra.database.init_db import initialise
from infra.demo.gateway import Gateway
from infra.embedded.stack import settings_from
from tests.end_to_end.api.heartbeats import heartbeats

LOOK = "document.dispatchEvent(new Event('visibilitychange'))"


@pytest_asyncio.fixture
async def alone_api(environment, prepared, tmp_path):
    """An API on topics that no worker has ever used."""
    prefix = {"FECAPASS_KAFKA__TOPIC_PREFIX": f"c{secrets.token_hex(4)}."}
    await initialise(settings_from(environment | prefix), [], lambda _line: None)
    process = Gateway(environment | prefix, tmp_path, usual=0)
    try:
        yield await process.ready(), settings_from(environment | prefix)
    finally:
        await process.stop(20)


async def test_field_24_the_header_says_that_no_worker_runs(alone_api, open_page):
    api, settings = alone_api
    page = await open_page(f"{api.address}/#/search")
    state = page.locator("#health")
    await expect(state).to_have_attribute("data-status", "degraded")
    await expect(state).to_have_text("Degraded: 3 problems")
    async with heartbeats(settings) as send:
        await send("detect", interval=30.0)
        await send("identify", interval=30.0)
        follow = r"^No follow worker has reported for \d+ s: no visits are recorded$"
        await looks_until(page, state, re.compile(follow))
        await send("follow", interval=30.0)
        await looks_until(page, state, "All systems up")
        await send("identify", interval=30.0, state="left")
        lacking = re.compile(r"^No identify worker has reported for \d+ s$")
        await looks_until(page, state, lacking)
        await state.click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_label("Problems").get_by_role("listitem")).to_have_text(lacking)
        row = dialog.get_by_role("row").filter(has_text="Identify")
        await expect(row).to_contain_text("0 running")
        await expect(dialog.get_by_role("row").filter(has_text="Detect")).to_contain_text(
            "1 running"
        )
        await page.keyboard.press("Escape")
        await send("identify", interval=30.0)
        await looks_until(page, state, "All systems up")
        await send("identify", interval=30.0, state="left")
        await looks_until(page, state, lacking)


async def looks_until(page, state, text):
    """The page looks every 15 s by itself; here it is asked to at once."""
    for _ in range(40):
        await page.evaluate(LOOK)
        try:
            await expect(state).to_have_text(text, timeout=500)
        except AssertionError:
            continue
        return
    await expect(state).to_have_text(text, timeout=1)
