"""Where else a face was seen, whom it resembles, and what is wrong with the enrolled photos."""

import re

import pytest
from playwright.async_api import expect

from tests.end_to_end import photos
from tests.end_to_end.api.cameras import send_frames
from tests.end_to_end.api.conftest import MATCHES, until
from tests.end_to_end.api.test_people_check import mistaken  # noqa: F401 - the fixture
from tests.end_to_end.console.conftest import PHONE, picture_file
from tests.end_to_end.console.test_access import settled, violations
from tests.end_to_end.console.test_visit_page import fact, new_camera

VISITS = "/api/v1/visits"


async def listed(http, path, camera):
    return (await http.get(path, params={"camera_id": camera})).json()["items"]


@pytest.fixture
def seen(http, producer, topics):
    """Shows a picture to a camera, until the face in it is found."""

    async def show(camera, picture):
        await send_frames(producer, topics, camera, [picture])
        await until(lambda: listed(http, MATCHES, camera))

    return show


async def test_an_unknown_visit_says_whom_it_resembles_and_where_else(
    console, http, eileen, seen, shot
):
    door, gate = new_camera(), new_camera()
    await seen(door, photos.carphone(1)[0])
    await seen(gate, photos.carphone(1, first=3)[0])
    (visit,) = await until(lambda: listed(http, VISITS, door))
    page = await console(f"/visits/{visit['visit_id']}")
    similar = re.compile(r"^Eileen Collins \(.?0\.\d\d\)$")
    await expect(fact(page, "Most like")).to_have_text(similar)
    await page.get_by_role("link", name="faces like this one").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Where else")
    await expect(page.locator(".similar li", has_text=gate)).to_contain_text("Unknown")
    await expect(page.locator(".similar li", has_text=gate).locator("img")).to_be_visible()
    await settled(page)
    assert await violations(page) == []
    await shot(page, "where-else")

    await page.get_by_label("Seen in").select_option("the last day")
    await expect(page).to_have_url(re.compile("/similar/1$"))
    await expect(page.get_by_label("Seen in")).to_have_value("1")
    await expect(page.locator(".similar li", has_text=gate)).to_have_count(1)
    await page.set_viewport_size(PHONE)
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    await page.go_back()
    await expect(page.get_by_label("Seen in")).to_have_value("7")


async def test_where_else_the_face_of_a_photo_was_seen(console, seen, alone):
    camera = new_camera()
    await seen(camera, photos.astronaut())
    page = await console("/search")
    await page.locator("input[type=file]").set_input_files(
        [picture_file("astronaut.jpg", photos.astronaut())]
    )
    await page.get_by_role("button", name="Where else face 1 was seen").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Where else")
    await expect(page.locator(".similar li", has_text=camera)).to_contain_text(re.compile("1.00"))


async def test_mistakes_among_photos_are_listed_and_put_right(
    console,
    alone,
    mistaken,  # noqa: F811 - the fixture
    shot,
):
    page = await console("/people")
    await page.get_by_role("link", name="Check").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Check of people")
    alike = page.locator("section", has=page.get_by_role("heading", name="People who look alike"))
    outliers = page.locator("section", has=page.get_by_role("heading", name="Photos unlike"))
    same = page.locator("section", has=page.get_by_role("heading", name="nearly the same"))
    await expect(alike.locator("li")).to_have_count(1)
    await expect(alike.locator("li")).to_contain_text("Ada King")
    await expect(same.locator("img")).to_have_count(2)
    await expect(outliers.locator("img")).to_be_visible()
    await settled(page)
    assert await violations(page) == []
    await shot(page, "check")

    await outliers.get_by_role("button", name="Take out").click()
    await expect(outliers).to_have_count(0)
    await page.get_by_role("button", name="Undo").click()
    await expect(outliers.locator("li")).to_have_count(1)
    await alike.get_by_role("button", name="are the same person").click()
    await expect(alike).to_have_count(0)
    await page.set_viewport_size(PHONE)
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
