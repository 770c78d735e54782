"""Access for all users: by keyboard, on a phone, in the dark, without a key, after errors."""

import asyncio
import re
from importlib.resources import files

import httpx
import pytest
from msgspec import structs
from playwright.async_api import FileChooser, Page, Route, expect

from tests.end_to_end import photos
from tests.end_to_end.api.cameras import send_frames
from tests.end_to_end.console.announced import here, left
from tests.end_to_end.console.conftest import PHONE, picture_file

VIEWS = ("/", "/people", "/people/check", "/enrol", "/search", "/unknowns", "/corrections")

_AXE = (files("axe_playwright_python") / "axe.min.js").read_text()


async def answers(page: Page, path: str, status: int, body: dict, **headers: str) -> None:
    """From now on the API answers so."""

    async def answer(route: Route) -> None:
        await route.fulfill(status=status, json=body, headers=headers)

    await page.route(re.compile(re.escape(path) + r"(\?.*)?$"), answer)


def problem(status: int, code: str, detail: str) -> dict:
    return {"status": status, "code": code, "detail": detail, "title": "", "request_id": "r-1"}


async def violations(page: Page) -> list[str]:
    """What axe-core finds against WCAG 2.2 A and AA and best practice."""
    await page.evaluate(_AXE)
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['html']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


async def settled(page: Page) -> None:
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await page.evaluate("Promise.all(document.getAnimations().map((one) => one.finished))")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing(console, eileen, scheme, shot, producer, topics, announce):
    page = await console(color_scheme=scheme)
    camera = f"axe-{scheme}"
    await send_frames(producer, topics, camera, [photos.nobody()])
    visit, unknown = here(camera, eileen), here(camera)
    (face,) = await announce.faces(camera, 1, eileen)
    await announce(structs.replace(visit, best_face_id=face), faces=[face])
    await announce(unknown, left(here(camera, eileen)), left(here(camera), "maximum"))
    await expect(page.locator(".here .visit", has_text=camera)).to_have_count(2)
    await expect(page.locator(".left .visit", has_text=camera)).to_have_count(2)
    await expect(page.locator(".camera-card", has_text=camera)).to_have_count(1)
    visits = [f"/visits/{one.visit_id}" for one in (visit, unknown)]
    for view in (*VIEWS, f"/people/{eileen}", f"/people/{eileen}/photos", *visits):
        await page.evaluate("path => { location.hash = path; }", view)
        await settled(page)
        assert await violations(page) == [], view
        await shot(page, f"{scheme}{view.replace('/', '-')}")
    await page.evaluate("location.hash = '/search'")
    await page.locator("input[type=file]").set_input_files(
        [picture_file("pair.jpg", photos.two_people())]
    )
    await expect(page.locator(".face-card")).to_have_count(2)
    assert await violations(page) == []
    await page.get_by_role("button", name="All systems up").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    assert await violations(page) == []


async def test_dark_is_dark_and_light_is_light(console):
    brightness = "+getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"
    page = await console(color_scheme="dark")
    assert await page.evaluate(brightness) < 40
    await page.emulate_media(color_scheme="light")
    assert await page.evaluate(brightness) > 220


async def test_a_narrow_phone_needs_no_sideways_scrolling(console, eileen, shot, announce):
    page = await console(viewport=PHONE, is_mobile=True, has_touch=True)
    long = "a-camera-with-a-name-that-does-not-fit-on-any-phone-" * 3
    visit = here(long, eileen)
    await announce(visit, here(long), left(here(long, eileen), "maximum"))
    await expect(page.locator(".here .visit", has_text=long)).to_have_count(2)
    for view in (*VIEWS, f"/people/{eileen}", f"/visits/{visit.visit_id}"):
        await page.evaluate("path => { location.hash = path; }", view)
        await settled(page)
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], view
        await shot(page, f"phone{view.replace('/', '-')}")
    await page.evaluate("location.hash = '/search'")
    await page.locator("input[type=file]").set_input_files(
        [picture_file("pair.jpg", photos.two_people())]
    )
    await expect(page.locator(".face-card")).to_have_count(2)
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


async def press_until(page: Page, name: str, key: str = "Tab") -> None:
    """Move the focus until it is on what has this name, and see that it shows."""
    for _ in range(40):
        await page.keyboard.press(key)
        focused = await page.evaluate(
            """() => {
                const one = document.activeElement;
                const label = one.labels?.[0]?.textContent ?? one.textContent.trim();
                const name = one.getAttribute("aria-label") ?? label;
                return [name, getComputedStyle(one).outlineStyle];
            }"""
        )
        if focused[0] == name:
            assert focused[1] == "solid", f"the focus on {name} cannot be seen"
            return
    raise AssertionError(f"the keyboard does not reach {name}")


async def test_the_main_tasks_need_no_mouse(console, alone, http):
    page = await console()
    # At the beginning: the browser must report file choosers before one opens.
    chosen: asyncio.Queue[FileChooser] = asyncio.Queue()
    page.on("filechooser", chosen.put_nowait)
    await expect(page.locator(".state")).to_have_text("Live")
    await press_until(page, "Skip to content")
    await page.keyboard.press("Enter")
    await press_until(page, "Pause")
    await page.keyboard.press("Space")
    await expect(page.locator(".state")).to_have_text("Paused")

    await page.evaluate("document.activeElement.blur()")
    await press_until(page, "Enrol")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Enrol a person")
    await press_until(page, "Name")
    await page.keyboard.type("Key Board")
    await press_until(page, "E-mail")
    await page.keyboard.type("key.board@example.com")
    await press_until(page, "Choose photos")
    await page.keyboard.press("Enter")
    astronaut = picture_file("astronaut.png", photos.astronaut())
    await (await asyncio.wait_for(chosen.get(), 60)).set_files([astronaut])
    await press_until(page, "Enrol")
    await page.keyboard.press("Enter")
    await expect(page.locator(".status-line")).to_contain_text("Key Board is enrolled")
    await press_until(page, "Show")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Key Board")
    await press_until(page, "Delete")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await press_until(page, "Delete")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("People")
    assert (await http.get("/api/v1/users", params={"q": "key.board@"})).json()["items"] == []


async def test_a_key_is_asked_for_kept_for_the_tab_and_forgotten(open_page, gateway, key):
    page = await open_page(f"{gateway.address}/#/people")
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Key").fill("fp_wrong")
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_role("alert")).to_contain_text("Refused")
    await dialog.get_by_label("Key").fill(key)
    await page.keyboard.press("Enter")
    await expect(dialog).to_have_count(0)
    await expect(page.get_by_role("heading", name="People")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name="People")).to_be_visible()
    await expect(dialog).to_have_count(0)
    await page.get_by_role("link", name="Live", exact=True).click()
    await expect(page.locator(".state")).to_have_text("Live")
    await page.get_by_role("button", name="Forget key").click()
    await expect(dialog).to_be_visible()


async def test_the_page_loads_nothing_from_elsewhere(open_page, gateway, key):
    page = await open_page("about:blank", key)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    response = await page.goto(f"{gateway.address}/")
    await expect(page.locator(".state")).to_have_text("Live")
    assert asked
    assert all(url.startswith((gateway.address, "blob:", "data:")) for url in asked)
    policy = (await response.all_headers())["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


EMPTY = {"items": [], "next_cursor": None}


async def test_empty_states_say_what_to_do(open_page, gateway, key, shot):
    page = await open_page("about:blank", key)
    await answers(page, "/api/v1/cameras", 200, {"items": []})
    await answers(page, "/api/v1/visits", 200, EMPTY)
    await answers(page, "/api/v1/presence", 200, {"items": [], "total": 0})
    await answers(page, "/api/v1/users", 200, EMPTY)
    await page.goto(f"{gateway.address}/")
    await expect(page.get_by_text("No one has been seen yet.")).to_be_visible()
    await expect(page.get_by_text("No camera has sent a frame yet.")).to_be_visible()
    assert await violations(page) == []
    await shot(page, "empty")
    await page.get_by_role("link", name="People", exact=True).click()
    await expect(page.get_by_text("No one is enrolled yet.")).to_be_visible()
    assert await violations(page) == []


@pytest.mark.parametrize(
    ("status", "code", "detail", "title"),
    [
        (
            503,
            "store_unavailable",
            "a store that this needs does not answer",
            "A store is unavailable",
        ),
        (429, "too_many_requests", "this key may make 600 requests a minute", "Too many requests"),
        (403, "scope_missing", "this needs the scope read", "This key may not do that"),
    ],
)
async def test_a_failure_is_explained_and_may_be_tried_again(console, status, code, detail, title):
    page = await console("/search")
    await answers(page, "/api/v1/users", status, problem(status, code, detail))
    await page.get_by_role("link", name="People", exact=True).click()
    box = page.get_by_role("alert")
    await expect(box.get_by_role("heading")).to_have_text(title)
    await expect(box).to_contain_text(detail[1:])
    await expect(box).to_contain_text("r-1")
    assert await violations(page) == []
    await page.unroute_all()
    await box.get_by_role("button", name="Try again").click()
    await expect(box).to_have_count(0)


async def test_a_photo_waits_when_there_are_too_many_requests(console, alone):
    page = await console("/search")
    refused = asyncio.Event()

    async def once(route: Route) -> None:
        if refused.is_set():
            await route.continue_()
            return
        refused.set()
        body = problem(429, "too_many_requests", "slow down")
        await route.fulfill(status=429, json=body, headers={"Retry-After": "1"})

    await page.route("**/api/v1/faces/search", once)
    await page.locator("input[type=file]").set_input_files(
        [picture_file("noise.jpg", photos.nobody())]
    )
    await expect(page.get_by_text("No face was found")).to_be_visible()
    assert refused.is_set()


async def test_a_server_that_does_not_answer_is_shown_at_once_and_its_return_too(console):
    page = await console("/search")
    state = page.locator("#health")
    await expect(state).to_have_text("All systems up")
    await page.route("**/*", lambda route: route.abort())
    await page.get_by_role("link", name="People", exact=True).click()
    await expect(state).to_have_text("No connection", timeout=8000)  # a look comes every 15 s
    await expect(page.get_by_role("alert")).to_contain_text("Is it running?")
    await page.unroute_all()
    await expect(state).to_have_text("All systems up", timeout=8000)


async def test_a_server_that_is_down_is_named(console):
    page = await console("/search")
    checks = {"redis": {"status": "failed", "latency_ms": 2000.0, "detail": "refused"}}
    await answers(page, "/health", 503, {"status": "degraded", "checks": checks})
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(page.locator("#health")).to_have_text("Redis is down")


async def test_the_console_is_served_with_its_types(gateway):
    async with httpx.AsyncClient(base_url=gateway.address) as client:
        script = await client.get("/console/js/main.js")
        assert "javascript" in script.headers["content-type"]
        missing = await client.get("/console/../app.py")
        assert missing.status_code == 404
