"""Unknown people who came more than once: named, or put aside."""

import re
from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.end_to_end.api.conftest import USERS
from tests.end_to_end.console.announced import here, left

PLANT = """
INSERT INTO unknowns (id, model, visits, first_seen_at, last_seen_at)
SELECT $1, 'contract', count(*), min(started_at), max(last_seen_at)
FROM visits WHERE visit_id = ANY($2::uuid[])
"""
JOIN = """
INSERT INTO unknown_members (visit_id, unknown_id, origin_id)
SELECT unnest($2::uuid[]), $1, $1
"""


@pytest.fixture
async def unknown(records, announce):
    """Plants an unknown person with so many visits, each with three faces."""

    async def plant(visits=2):
        unknown_id, stored = uuid4(), []
        for _ in range(visits):
            camera = f"gate-{uuid4().hex[:6]}"
            faces = await announce.faces(camera, 3)
            visit = here(camera, ago=90, faces=3, best_face_id=faces[1])
            await announce(visit, left(visit), faces=faces)
            stored.append(visit)
        async with records._connection("test") as connection:
            await connection.execute(PLANT, unknown_id, [one.visit_id for one in stored])
            await connection.execute(JOIN, unknown_id, [one.visit_id for one in stored])
        return unknown_id, stored

    return plant


def card_of(page, visits):
    return page.locator(".unknown", has_text=visits[0].camera_id)


async def test_an_unknown_is_named_in_two_clicks(console, unknown, http, shot):
    _, visits = await unknown(3)
    page = await console("/unknowns")
    card = card_of(page, visits)
    await expect(card.get_by_role("link")).to_have_text(re.compile("^3 visits at gate-"))
    await expect(card.locator("img")).to_be_visible()
    await shot(page, "unknowns")
    await card.get_by_role("button", name="Give a name").click()
    name = f"Ada {uuid4().hex[:6]}"
    await page.get_by_label("Name", exact=True).fill(name)
    await shot(page, "name")
    await page.get_by_role("button", name="New person").click()

    await expect(page.get_by_role("heading", level=1)).to_have_text(name)
    await expect(page.get_by_role("status").filter(has_text="3 visits")).to_contain_text("are")
    await expect(page.locator(".seen .visit")).to_have_count(3)
    user = page.url.rsplit("/", 1)[1]
    assert (await http.get(f"{USERS}/{user}")).json()["full_name"] == name
    await page.goto(page.url.replace(f"people/{user}", "unknowns"))
    await expect(card_of(page, visits)).to_have_count(0)


async def test_an_unknown_is_someone_who_is_enrolled(console, unknown, new_user):
    name = f"Grace {uuid4().hex[:6]}"
    user = await new_user(name)
    unknown_id, _ = await unknown()
    page = await console(f"/unknowns/{unknown_id}")
    await expect(page.locator(".seen .visit")).to_have_count(2)
    await expect(page.locator(".faces-grid img")).to_have_count(2)
    await page.get_by_role("button", name="Give a name").click()
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_role("button", name=name).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(name)
    assert page.url.endswith(f"/people/{user}")
    await page.goto(page.url.replace(f"people/{user}", f"unknowns/{unknown_id}"))
    await expect(page.locator("h1 .tag")).to_have_text("has a name")
    await expect(page.get_by_role("link", name="Show the person")).to_be_visible()


async def test_an_unknown_is_put_aside(console, unknown):
    _, visits = await unknown()
    page = await console("/unknowns")
    card = card_of(page, visits)
    await card.get_by_role("button", name="Put aside").click()
    await expect(card).to_have_count(0)
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Unknown people")
    await expect(card).to_have_count(0)


async def test_one_visit_is_not_listed(console, unknown):
    _, visits = await unknown(1)
    _, others = await unknown(2)
    page = await console("/unknowns")
    await expect(card_of(page, others)).to_have_count(1)
    await expect(card_of(page, visits)).to_have_count(0)


async def test_a_name_is_taken_back(console, unknown, http):
    unknown_id, visits = await unknown(2)
    page = await console("/unknowns")
    await card_of(page, visits).get_by_role("button", name="Give a name").click()
    name = f"Ada {uuid4().hex[:6]}"
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_role("button", name="New person").click()
    await expect(page.locator(".seen .visit")).to_have_count(2)
    user = page.url.rsplit("/", 1)[1]
    await page.get_by_role("button", name="Undo").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Unknown person")
    assert page.url.endswith(f"/unknowns/{unknown_id}")
    await expect(page.locator(".notice")).to_contain_text(f"{name} stays")
    await expect(page.get_by_role("button", name="Give a name")).to_be_visible()
    items = (await http.get("/api/v1/visits", params={"user_id": user})).json()["items"]
    assert items == []
    await page.goto(page.url.replace(f"unknowns/{unknown_id}", "corrections"))
    line = page.locator(".correction", has_text=f"An unknown person is {name}")
    await expect(line.locator(".tag")).to_have_text("undone")


async def test_one_that_was_put_aside_is_brought_back(console, unknown):
    unknown_id, visits = await unknown()
    page = await console("/unknowns")
    card = card_of(page, visits)
    await card.get_by_role("button", name="Put aside").click()
    await expect(card).to_have_count(0)
    await page.get_by_role("button", name="Undo").click()
    await expect(card).to_have_count(1)
    # And from its own page.
    await page.goto(page.url.replace("unknowns", f"unknowns/{unknown_id}"))
    await page.get_by_role("button", name="Put aside").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Unknown people")
    await page.get_by_role("button", name="Undo").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Unknown person")
    await expect(page.get_by_role("button", name="Put aside")).to_be_visible()
