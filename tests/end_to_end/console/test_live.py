"""Who is at which door, live."""

import re
from uuid import uuid4

import httpx
from playwright.async_api import expect

from infra.demo.gateway import Gateway
from infra.processes.ports import Ports
from tests.end_to_end import photos
from tests.end_to_end.api.cameras import send_frames


def rows(page, camera):
    return page.locator(".visit", has_text=camera)


async def test_known_and_unknown_people_appear_as_cameras_see_them(
    console, eileen, producer, topics
):
    page = await console()
    await expect(page.locator(".state")).to_have_text("Live")
    camera = f"door-{uuid4().hex[:6]}"
    await send_frames(producer, topics, camera, [photos.astronaut()])
    row = rows(page, camera)
    await expect(row).to_have_count(1)
    await expect(row.get_by_role("link")).to_have_text("Eileen Collins")
    await expect(row.locator(".similarity .number")).to_have_text(
        re.compile(r"^(0\.[5-9]\d|1\.00)$")
    )
    await expect(row.locator("time")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
    await expect(row.locator("img")).to_have_js_property("complete", value=True)
    assert await row.locator("img").evaluate("image => image.naturalWidth") > 50

    stranger = f"yard-{uuid4().hex[:6]}"
    await send_frames(producer, topics, stranger, photos.carphone(1, first=30))
    await expect(rows(page, stranger).locator(".name")).to_have_text("Unknown")
    await expect(rows(page, stranger).get_by_role("link")).to_have_count(0)
    # The newest is first, and is announced to users of screen readers.
    await expect(page.locator(".visit").first).to_contain_text(stranger)
    await expect(page.locator("[aria-live=polite].hidden-text")).to_have_text(
        re.compile(f"Unknown at {stranger}")
    )
    await row.get_by_role("link").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Eileen Collins")
    await expect(page.get_by_text("Last seen")).to_contain_text(camera)


async def test_who_stays_at_a_door_is_one_line(console, eileen, producer, topics):
    page = await console()
    await expect(page.locator(".state")).to_have_text("Live")
    camera = f"door-{uuid4().hex[:6]}"
    await send_frames(producer, topics, camera, [photos.astronaut()])
    row = rows(page, camera)
    await expect(row).to_have_count(1)
    before = await row.bounding_box()
    frames = [photos.astronaut_of_width(500 + number) for number in range(3)]
    await send_frames(producer, topics, camera, frames)
    await expect(row.locator(".frames")).to_have_text("4 frames")
    assert await row.bounding_box() == before


async def test_cameras_show_their_last_frame_and_rate(console, producer, topics):
    page = await console()
    camera = f"gate-{uuid4().hex[:6]}"
    await send_frames(producer, topics, camera, photos.carphone(5))
    card = page.locator(".camera-card", has_text=camera)
    await expect(card).to_have_attribute("data-state", "live")
    await expect(card.locator(".rate")).to_have_text(re.compile(r"^0\.[1-5] fps$"))
    await expect(card).to_contain_text(re.compile(r"Last frame (now|\d+ sec)"))


async def test_a_paused_feed_stands_still_and_counts(console, producer, topics):
    page = await console()
    await expect(page.locator(".state")).to_have_text("Live")
    await page.get_by_role("button", name="Pause").click()
    held = await page.locator(".visit").count()
    camera = f"side-{uuid4().hex[:6]}"
    await send_frames(producer, topics, camera, photos.carphone(1, first=12))
    await expect(page.locator(".state")).to_have_text("Paused, 1 new")
    assert await page.locator(".visit").count() == held
    await page.get_by_role("button", name="Resume").click()
    await expect(rows(page, camera)).to_have_count(1)


async def test_the_filter_separates_known_from_unknown(console, eileen, producer, topics):
    page = await console()
    known, unknown = f"a-{uuid4().hex[:6]}", f"b-{uuid4().hex[:6]}"
    await send_frames(producer, topics, known, [photos.astronaut()])
    await send_frames(producer, topics, unknown, photos.carphone(1, first=20))
    await expect(rows(page, known)).to_have_count(1)
    await expect(rows(page, unknown)).to_have_count(1)
    await page.get_by_label("People to show").select_option("known")
    await expect(rows(page, unknown)).to_have_count(0)
    await expect(rows(page, known)).to_have_count(1)


async def test_a_lost_stream_says_so_and_misses_nothing(
    open_page, environment, workers, producer, topics, tmp_path
):
    held = Ports()
    port = held.take()
    server = await Gateway(environment, tmp_path / "first", usual=port).ready()
    try:
        page = await open_page(f"{server.address}/")
        await expect(page.locator(".state")).to_have_text("Live")
        await server.stop(20)
        await expect(page.locator(".state")).to_have_text("Connection lost, reconnecting")
        camera = f"night-{uuid4().hex[:6]}"
        await send_frames(producer, topics, camera, photos.carphone(1, first=50))
        server = await Gateway(environment, tmp_path / "second", usual=port).ready()
        assert not server.moved
        await expect(page.locator(".state")).to_have_text("Live")
        async with httpx.AsyncClient(base_url=server.address) as client:
            assert (await client.get("/health/live")).is_success
        await expect(rows(page, camera)).to_have_count(1)
    finally:
        await server.stop(20)
        held.release()
