"""Who is at which door now, and who has left."""

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
from playwright.async_api import expect

from domain.visit_events import VisitMessage, VisitType
from infra.demo.gateway import Gateway
from infra.processes.ports import Ports
from tests.end_to_end import photos
from tests.end_to_end.api.cameras import send_frames
from tests.end_to_end.api.conftest import USERS
from tests.end_to_end.console.announced import changed, here, left

CLOCK = re.compile(r"^\d\d:\d\d:\d\d$")


def new_camera(name: str = "door") -> str:
    return f"{name}-{uuid4().hex[:6]}"


def is_here(page, camera):
    return page.locator(".here .visit", has_text=camera)


def has_left(page, camera):
    return page.locator(".left .visit", has_text=camera)


async def live_page(console, **options):
    page = await console(**options)
    await expect(page.locator(".state")).to_have_text("Live")
    return page


async def test_known_and_unknown_people_are_here_until_they_leave(
    console, eileen, producer, topics
):
    page = await live_page(console)
    camera, yard = new_camera(), new_camera("yard")
    await send_frames(producer, topics, camera, [photos.astronaut()] * 3)
    card = is_here(page, camera)
    await expect(card).to_have_count(1)
    await expect(card).to_have_attribute("data-known", "true")
    await expect(card.locator(".name")).to_have_text("Eileen Collins")
    await expect(card.locator(".score .number")).to_have_text(re.compile(r"^(0\.[5-9]\d|1\.00)$"))
    await expect(card.locator("time")).to_have_text(CLOCK)
    await expect(card.locator("img")).to_have_js_property("complete", value=True)
    assert await card.locator("img").evaluate("image => image.naturalWidth") > 50

    for second, frame in enumerate(photos.carphone(4, first=30)):
        time = datetime.now(UTC) - timedelta(seconds=3 - second)
        await send_frames(producer, topics, yard, [frame], time=time.isoformat())
    unknown = is_here(page, yard)
    await expect(unknown.locator(".name")).to_have_text("Unknown")
    await expect(unknown).to_have_attribute("data-known", "false")
    await expect(unknown.locator(".score")).to_be_empty()

    line = has_left(page, camera)  # 10 s after the last face
    await expect(line.locator(".name")).to_have_text("Eileen Collins")
    await expect(line.locator("time")).to_have_text([CLOCK, CLOCK])
    await expect(card).to_have_count(0)
    await line.click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Eileen Collins")
    await expect(page.locator(".compare img")).to_have_count(2)
    await page.get_by_role("link", name="Eileen Collins").click()
    await expect(page.get_by_text("Last seen")).to_contain_text(camera)


async def test_who_is_here_is_apart_from_who_has_left_with_durations(console, announce, new_user):
    user, camera = await new_user("Ada Lovelace"), new_camera()
    gone = left(
        here(camera, user, ago=300.5, last_seen_at=datetime.now(UTC) - timedelta(seconds=175))
    )
    await announce(gone)
    page = await live_page(console)
    line = has_left(page, camera)
    await expect(line.locator(".length")).to_have_text("2 min 5 s")
    await expect(line.locator(".score")).to_have_text("similarity 0.68")
    await expect(line.locator(".note")).to_be_empty()  # that a person leaves is as expected

    await announce(here(camera, user, ago=3700, similarity=0.71))
    card = is_here(page, camera)
    await expect(card.locator(".length")).to_have_text("1 h 1 min")
    await expect(card.locator(".score")).to_have_text("similarity 0.71")
    await expect(line).to_have_count(1)


async def test_a_duration_runs_on(open_page, gateway, key, announce):
    page = await open_page("about:blank", key)
    await page.clock.install()
    await page.goto(f"{gateway.address}/")
    camera = new_camera()
    await announce(here(camera, ago=65))
    length = is_here(page, camera).locator(".length")
    await expect(length).to_have_text(re.compile(r"^1 min \d+ s$"))
    await page.clock.fast_forward("05:00")
    await expect(length).to_have_text(re.compile(r"^6 min \d+ s$"))


async def test_a_picture_from_the_cache_does_not_set_the_clock(console, announce):
    """It has the time at which it was stored."""
    page = await live_page(console)
    first, second = new_camera(), new_camera()

    async def old(route):
        answer = await route.fetch()
        headers = answer.headers | {"date": "Sun, 01 Nov 2026 12:00:00 GMT"}
        await route.fulfill(response=answer, headers=headers)

    async def no_answer(_route):
        """Each answer would set the clock right again."""

    await page.route("**/crop", old, times=1)
    for path in ("/api/v1/cameras", "/api/v1/presence", "/health"):
        await page.route(f"**{path}", no_answer)
    (face,) = await announce.faces(first, 1)
    await announce(here(first, best_face_id=face), faces=[face])
    await expect(is_here(page, first).locator("img")).to_be_visible()
    await announce(here(second, ago=65))
    length = is_here(page, second).locator(".length")
    await expect(length).to_have_text(re.compile(r"^1 min \d+ s$"), timeout=10_000)


async def test_a_visit_is_updated_in_its_place(console, announce, new_user):
    page = await live_page(console)
    camera = new_camera()
    visit = here(camera)
    await announce(visit)
    card = is_here(page, camera)
    await expect(card.locator(".name")).to_have_text("Unknown")
    before = await card.bounding_box()
    user = await new_user("Grace Hopper")
    fields = {"user_id": here(camera, user).user_id, "similarity": 0.62, "reason": "identity"}
    await announce(changed(visit, **fields))
    await expect(card.locator(".name")).to_have_text("Grace Hopper")
    await expect(card.locator(".score")).to_have_text("similarity 0.62")
    assert (await card.bounding_box())["x"] == before["x"]


async def test_who_is_back_soon_is_here_again(console, announce, new_user):
    page = await live_page(console)
    camera, user = new_camera(), await new_user("Vera Rubin")
    visit = here(camera, user)
    ended = left(visit)
    await announce(visit, ended)
    await expect(has_left(page, camera)).to_have_count(1)
    await announce(changed(ended, state=visit.state, ended_at=None, reason="returned"))
    card = is_here(page, camera)
    await expect(card.locator(".note")).to_have_text("back again")
    await expect(has_left(page, camera)).to_have_count(0)


async def test_an_old_copy_and_a_merged_visit_are_not_shown(console, announce, gateway):
    page = await live_page(console)
    camera, other, marker = new_camera(), new_camera("other"), new_camera("marker")
    visit, goes_on = here(camera), here(other)
    ended = left(visit)
    await announce(goes_on, visit, ended)
    await expect(has_left(page, camera)).to_have_count(1)
    await announce.send(VisitMessage(type=VisitType.STARTED, visit=visit))
    await announce(here(marker))
    await expect(is_here(page, marker)).to_have_count(1)
    await expect(has_left(page, camera)).to_have_count(1)
    await expect(is_here(page, camera)).to_have_count(0)

    merged = changed(ended, reason="merged", faces=0)
    await announce(merged, merged=(visit.visit_id, goes_on.visit_id))
    await expect(has_left(page, camera)).to_have_count(0)
    await page.reload()
    await expect(is_here(page, marker)).to_have_count(1)
    await expect(page.locator(".visit", has_text=camera)).to_have_count(0)


MERGES = """
async () => {
    const { VisitList } = await import("/console/js/visitlist.js");
    const copy = (revision, state, more = {}) => ({
        visit_id: "v", revision, state, user_id: "u", started_at: "2026-11-23T09:00:00Z",
        last_seen_at: `2026-11-23T09:00:0${revision}.5Z`, ...more,
    });
    const copies = [copy(1, "open"), copy(2, "ended"), copy(3, "open"), copy(4, "ended"),
        copy(4, "ended")];
    const orders = (rest) => rest.length < 2 ? [rest] : rest.flatMap((one, place) =>
        orders(rest.toSpliced(place, 1)).map((others) => [one, ...others]));
    const ends = orders(copies).map((order) => {
        const list = new VisitList();
        for (const one of order) list.take(one);
        return [list.open.length, list.left.map((one) => one.revision)];
    });
    const list = new VisitList();
    list.take(copy(2, "open"));
    const since = list.changes;
    list.take({ ...copy(1, "open"), visit_id: "w" });
    list.settle([], true, since);
    const settled = list.open.map((one) => one.visit_id);
    list.take({ ...copy(1, "open", { user_id: null, user: null }), visit_id: "w" }, true);
    const stored = list.find("w").user_id;
    const different = new Set(ends.map((one) => JSON.stringify(one)));
    return { count: ends.length, ends: [...different], settled, stored };
}
"""


async def test_copies_of_a_visit_may_come_in_any_order(console):
    page = await live_page(console)
    found = await page.evaluate(MERGES)
    assert (found["count"], found["ends"]) == (120, ["[0,[4]]"])
    # What was open before the question and is not in the answer has ended; what came later has not.
    assert found["settled"] == ["w"]
    assert found["stored"] is None


async def test_an_erased_person_is_unknown_at_once_and_in_other_consoles_soon(
    console, announce, open_page, gateway, key, new_user, http
):
    user, camera, gate = await new_user("Erased Person"), new_camera(), new_camera("gate")
    (face,) = await announce.faces(camera, 1, user)
    await announce(here(camera, user, best_face_id=face), faces=[face])
    await announce(left(here(gate, user)))
    page = await live_page(console)
    other = await open_page("about:blank", key)
    await other.clock.install()
    await other.goto(f"{gateway.address}/")
    for one in (page, other):
        await expect(is_here(one, camera).locator(".name")).to_have_text("Erased Person")
        await expect(is_here(one, camera).locator("img")).to_be_visible()
        await expect(has_left(one, gate).locator(".name")).to_have_text("Erased Person")

    await page.evaluate("path => { location.hash = path; }", f"/people/{user}")
    await page.get_by_role("button", name="Delete", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.locator("#notices")).to_have_text("Erased Person was deleted")
    # Nothing of it may depend on what the server says next.
    await page.route("**/api/v1/presence*", lambda route: route.abort())
    await page.get_by_role("link", name="Live", exact=True).click()
    await expect(is_here(page, camera).locator(".name")).to_have_text("Unknown")
    await expect(is_here(page, camera).locator(".picture")).to_have_class("picture missing")
    await expect(has_left(page, gate).locator(".name")).to_have_text("Unknown")

    assert (await http.get(f"{USERS}/{user}")).status_code == 404
    await other.clock.run_for(61_000)
    await expect(is_here(other, camera).locator(".name")).to_have_text("Unknown")
    await expect(is_here(other, camera).locator(".picture")).to_have_class("picture missing")
    await expect(has_left(other, gate).locator(".name")).to_have_text("Unknown")


async def test_many_visits_at_once_are_announced_in_one_sentence(console, announce):
    page = await live_page(console)
    spoken = page.locator("[aria-live=polite].hidden-text")
    await page.evaluate(
        """() => {
            window.said = [];
            const place = document.querySelector("[aria-live=polite].hidden-text");
            new MutationObserver(() => window.said.push(place.textContent)).observe(
                place, { childList: true, characterData: true, subtree: true });
        }"""
    )
    cameras = [new_camera(f"n{number}") for number in range(30)]
    await announce(*(here(camera) for camera in cameras))
    await expect(page.locator(".here .visit").filter(has_text=re.compile("|".join(cameras)))).to_have_count(30)  # fmt: skip  # noqa: E501
    await expect(spoken).to_have_text(re.compile(r"^Unknown at .*; and \d+ more$"))
    sentences = await page.evaluate("window.said")
    assert len(sentences) <= 8  # one in 4 s, not 30
    await announce(left(here(cameras[0])))
    await expect(spoken).to_have_text(re.compile(f"Unknown left {cameras[0]}"))


async def test_a_visit_keeps_the_focus_when_the_person_leaves(console, announce):
    page = await live_page(console)
    camera = new_camera()
    visit = here(camera)
    await announce(visit)
    await is_here(page, camera).locator(".name").focus()
    await announce(left(visit))
    await expect(has_left(page, camera).locator(".name")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Unknown")


async def test_cameras_show_their_last_frame_and_rate(console, producer, topics):
    page = await console()
    camera = new_camera("gate")
    await send_frames(producer, topics, camera, photos.carphone(5))
    card = page.locator(".camera-card", has_text=camera)
    await expect(card).to_have_attribute("data-state", "live")
    await expect(card.locator(".rate")).to_have_text(re.compile(r"^0\.[1-5] fps$"))
    await expect(card).to_contain_text(re.compile(r"Last frame (now|\d+ sec)"))


async def test_a_paused_list_stands_still_and_counts(open_page, gateway, key, announce):
    page = await open_page("about:blank", key)
    await page.clock.install()
    await page.goto(f"{gateway.address}/")
    await expect(page.locator(".state")).to_have_text("Live")
    camera, side = new_camera(), new_camera("side")
    visit = here(camera)
    await announce(visit)
    await expect(is_here(page, camera)).to_have_count(1)
    await page.get_by_role("button", name="Pause").click()
    await announce(left(visit), here(side))
    await expect(page.locator(".state")).to_have_text("Paused, 1 new")
    async with page.expect_response("**/api/v1/presence"):
        await page.clock.run_for(11_000)
    await page.clock.run_for(1000)
    await expect(is_here(page, camera)).to_have_count(1)
    await expect(is_here(page, side)).to_have_count(0)
    await page.get_by_role("button", name="Resume").click()
    await expect(is_here(page, side)).to_have_count(1)
    await expect(has_left(page, camera)).to_have_count(1)


async def test_the_filter_separates_known_from_unknown(console, announce, new_user):
    page = await live_page(console)
    known, unknown = new_camera("a"), new_camera("b")
    await announce(here(known, await new_user("Filter Test")), here(unknown), left(here(unknown)))
    await expect(is_here(page, known)).to_have_count(1)
    await expect(page.locator(".visit", has_text=unknown)).to_have_count(2)
    await page.get_by_label("People to show").select_option("known")
    await expect(page.locator(".visit", has_text=unknown)).to_have_count(0)
    await expect(is_here(page, known)).to_have_count(1)
    await page.get_by_label("People to show").select_option("unknown")
    await expect(page.locator(".visit", has_text=unknown)).to_have_count(2)
    await expect(is_here(page, known)).to_have_count(0)


async def test_a_lost_stream_says_so_and_misses_nothing(
    open_page, environment, workers, announce, tmp_path
):
    held = Ports()
    port = held.take()
    server = await Gateway(environment, tmp_path / "first", usual=port).ready()
    try:
        page = await open_page(f"{server.address}/")
        asked = []
        page.on("request", lambda one: one.url.endswith("/stream") and asked.append(one.headers))
        await expect(page.locator(".state")).to_have_text("Live")
        day, night = new_camera("day"), new_camera("night")
        visit = here(day)
        await announce(visit)
        await expect(is_here(page, day)).to_have_count(1)
        await server.stop(20)
        await expect(page.locator(".state")).to_have_text("Connection lost, reconnecting")
        await announce(left(visit), here(night))
        server = await Gateway(environment, tmp_path / "second", usual=port).ready()
        assert not server.moved
        await expect(page.locator(".state")).to_have_text("Live")
        async with httpx.AsyncClient(base_url=server.address) as client:
            assert (await client.get("/health/live")).is_success
        await expect(is_here(page, night)).to_have_count(1)
        await expect(has_left(page, day)).to_have_count(1)
        assert asked[-1]["last-event-id"].startswith(f"{visit.visit_id}/1/")
    finally:
        await server.stop(20)
        held.release()


async def test_after_a_gap_the_visits_are_fetched_again(open_page, gateway, key, announce):
    """A stream that does not say what was missed."""
    camera = new_camera()
    visit = here(camera)
    page = await open_page("about:blank", key)

    async def gap(route):
        body = f"id: {uuid4()}/1/1\ndata: known\n\n"
        if await seen.count():
            body += 'event: gap\ndata: {"lost": null}\n\n'
        await route.fulfill(status=200, body=body, content_type="text/event-stream")

    seen = is_here(page, camera)
    await page.route("**/api/v1/visits/stream", gap)
    await announce(visit)
    await page.goto(f"{gateway.address}/")
    await expect(seen).to_have_count(1)
    await announce(left(visit))
    await expect(has_left(page, camera)).to_have_count(1)
