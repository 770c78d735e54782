"""Mistakes put right in the console, each with an undo."""

from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.end_to_end.api.conftest import USERS
from tests.end_to_end.console.announced import here, left


@pytest.fixture
async def mistaken(announce, new_user):
    """A visit that was taken for someone's."""
    name = f"Ada {uuid4().hex[:6]}"
    user, camera = await new_user(name), f"door-{uuid4().hex[:6]}"
    faces = await announce.faces(camera, 3, user)
    visit = here(camera, user, ago=60, faces=3, best_face_id=faces[1])
    await announce(visit, left(visit), faces=faces)
    return name, user, visit


def heading(page):
    return page.get_by_role("heading", level=1)


async def test_not_this_person_in_two_clicks_and_back(console, mistaken, http, shot):
    name, user, visit = mistaken
    page = await console()
    await page.locator(".left .visit", has_text=visit.camera_id).click()
    await page.get_by_role("button", name=f"Not {name}").click()
    await expect(heading(page)).to_contain_text("Unknown")
    await shot(page, "corrected")
    (made,) = (await http.get("/api/v1/corrections", params={"user_id": user})).json()["items"]
    assert (made["kind"], made["visit_id"]) == ("not_user", str(visit.visit_id))
    await page.get_by_role("button", name="Undo").click()
    await expect(heading(page)).to_contain_text(name)


async def test_it_is_someone_else(console, mistaken, new_user):
    _, _, visit = mistaken
    other = f"Grace {uuid4().hex[:6]}"
    await new_user(other)
    page = await console(f"/visits/{visit.visit_id}")
    await page.get_by_role("button", name="Someone else").click()
    await page.get_by_label("Name", exact=True).fill(other)
    await page.get_by_role("button", name=other).click()
    await expect(heading(page)).to_contain_text(other)


async def test_a_visit_of_an_unknown_is_given_a_new_name(console, announce, http):
    camera, name = f"door-{uuid4().hex[:6]}", f"Alan {uuid4().hex[:6]}"
    faces = await announce.faces(camera, 2)
    visit = here(camera, ago=60, faces=2, best_face_id=faces[0])
    await announce(visit, left(visit), faces=faces)
    page = await console(f"/visits/{visit.visit_id}")
    await page.get_by_role("button", name="Give a name").click()
    await page.get_by_label("Name", exact=True).fill(name)
    await expect(page.get_by_text("No one has this name yet.")).to_be_visible()
    await page.get_by_role("button", name="New person").click()
    await expect(heading(page)).to_contain_text(name)
    (user,) = (await http.get(USERS, params={"q": name})).json()["items"]
    assert user["email"] is None


@pytest.mark.parametrize("lost", ["users", "corrections"])
async def test_a_new_person_is_made_once_though_an_answer_was_lost(console, announce, http, lost):
    camera, name = f"door-{uuid4().hex[:6]}", f"Alan {uuid4().hex[:6]}"
    faces = await announce.faces(camera, 2)
    visit = here(camera, ago=60, faces=2, best_face_id=faces[0])
    await announce(visit, left(visit), faces=faces)
    page = await console(f"/visits/{visit.visit_id}")
    losses = []

    async def lose_one(route):
        if route.request.method != "POST" or losses:
            await route.continue_()
            return
        losses.append(await route.fetch())  # the server has done it
        await route.abort()

    await page.route(f"**/api/v1/{lost}", lose_one)

    async def give():
        await page.get_by_role("button", name="Give a name").click()
        await page.get_by_label("Name", exact=True).fill(name)
        await page.get_by_role("button", name="New person").click()

    await give()
    await expect(page.get_by_role("alert").first).to_be_visible()
    assert losses
    if lost == "users":
        await give()
    else:  # a worker announces what the server has done, at any moment from now on
        await page.reload()
    await expect(heading(page)).to_contain_text(name)
    users = (await http.get(USERS, params={"q": name})).json()["items"]
    assert len(users) == 1


async def test_corrections_are_listed_and_undone(console, mistaken, shot):
    name, user, visit = mistaken
    page = await console(f"/people/{user}")
    await page.get_by_role("button", name="Not this person").click()
    await expect(page.locator(".seen .visit")).to_have_count(0)
    await page.goto(page.url.replace(f"people/{user}", "corrections"))
    line = page.locator(".correction", has_text=f"This is not {name}")
    await expect(line.get_by_role("link", name="the visit")).to_have_attribute(
        "href", f"#/visits/{visit.visit_id}"
    )
    await shot(page, "corrections")
    await line.get_by_role("button", name="Undo").click()
    await expect(line.locator(".tag")).to_have_text("undone")
    await expect(page.locator(".correction", has_text="Undone").first).to_be_visible()
    await page.goto(page.url.replace("corrections", f"people/{user}"))
    await expect(page.locator(".seen .visit")).to_have_count(1)


async def test_two_people_are_one(console, mistaken, new_user):
    name, _, visit = mistaken
    other = f"Ada Byron {uuid4().hex[:6]}"
    kept = await new_user(other)
    page = await console(f"/people/{kept}")
    await page.get_by_role("button", name=f"Merge another person into {other}").click()
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_role("button", name=name).click()
    await expect(page.locator(".seen .visit", has_text=visit.camera_id)).to_have_count(1)
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator(".seen .visit")).to_have_count(0)
