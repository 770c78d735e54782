"""Enrolment, search and the person's page."""

import base64
import re
from uuid import uuid4

from playwright.async_api import Page, expect

from tests.end_to_end import photos
from tests.end_to_end.api.conftest import USERS
from tests.end_to_end.console.conftest import picture_file


async def fill_in(page: Page, name: str) -> str:
    mail = f"{uuid4().hex}@example.com"
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("E-mail").fill(mail)
    return mail


async def choose(page: Page, *files: dict[str, object]) -> None:
    await page.locator("input[type=file]").set_input_files(list(files))


async def test_a_person_is_enrolled_and_each_photo_has_its_outcome(console, alone, http):
    page = await console("/enrol")
    mail = await fill_in(page, "Eileen <b>Collins</b>")
    await choose(
        page,
        picture_file("good.png", photos.astronaut()),
        picture_file("noise.jpg", photos.nobody()),
        picture_file("pair.jpg", photos.two_people()),
        picture_file("blurred.jpg", photos.blurred()),
    )
    await page.get_by_role("button", name="Enrol").click()
    good, noise, pair, blurred = (page.locator(".upload").nth(n) for n in range(4))
    await expect(good.locator(".badge")).to_have_text("enrolled")
    await expect(good.locator(".measures")).to_contain_text("quality")
    await expect(noise.locator(".badge")).to_have_text("No face")
    await expect(pair.locator(".badge")).to_have_text("Several faces")
    await expect(pair.locator(".measures")).to_contain_text("faces2")
    await expect(blurred.locator(".badge")).to_have_text("Poor quality")
    await expect(blurred.locator(".detail")).to_contain_text("is needed")
    await expect(page.locator(".status-line")).to_contain_text("1 of 4 photos accepted")

    # A name is text, whatever it looks like.
    await page.get_by_role("link", name="Show").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Eileen <b>Collins</b>")
    assert await page.locator("h1 b").count() == 0
    await expect(page.locator(".photo-grid li")).to_have_count(1)
    found = (await http.get(USERS, params={"q": mail})).json()["items"]
    assert len(found) == 1


async def test_field_25_the_next_visitor_is_enrolled_as_another_person(console, alone, http):
    page = await console("/enrol")
    first = await fill_in(page, "First Visitor")
    await choose(page, picture_file("first.png", photos.astronaut()))
    await page.get_by_role("button", name="Enrol").click()
    await expect(page.locator(".status-line")).to_contain_text("First Visitor is enrolled")

    # The form is empty again; what became of the first one's photo still stands there.
    await expect(page.get_by_label("Name")).to_have_value("")
    await expect(page.get_by_label("E-mail")).to_have_value("")
    await expect(page.get_by_label("Name")).to_be_editable()
    await expect(page.locator(".upload .badge")).to_have_text("enrolled")
    await expect(page.locator("form .upload")).to_have_count(0)
    back = page.locator("#main").get_by_role("link", name="First Visitor")
    await expect(back).to_have_attribute("href", re.compile("^#/people/"))
    await choose(page, picture_file("early.jpg", photos.carphone(1)[0]))
    await page.get_by_role("button", name="Enrol").click()
    await expect(page.get_by_text("A name is needed.")).to_be_visible()

    second = await fill_in(page, "Second Visitor")
    await page.get_by_role("button", name="Enrol").click()
    await expect(page.locator(".status-line")).to_contain_text("Second Visitor is enrolled")
    for mail in (first, second):
        (user,) = (await http.get(USERS, params={"q": mail})).json()["items"]
        faces = (await http.get(f"{USERS}/{user['id']}/faces")).json()["items"]
        assert len(faces) == 1, mail
        await http.delete(f"{USERS}/{user['id']}")


async def test_field_25_the_same_address_begins_afresh(console, alone):
    page = await console("/enrol")
    await fill_in(page, "Somebody")
    await choose(page, picture_file("a.jpg", photos.carphone(1)[0]))
    await expect(page.locator(".upload")).to_have_count(1)
    await page.get_by_role("link", name="Enrol", exact=True).click()
    await expect(page.get_by_label("Name")).to_have_value("")
    await expect(page.locator(".upload")).to_have_count(0)


async def test_field_25_a_person_without_a_photo_yet_may_have_another_one_tried(console, http):
    page = await console("/enrol")
    mail = await fill_in(page, "Third Visitor")
    await choose(page, picture_file("noise.jpg", photos.nobody()))
    await page.get_by_role("button", name="Enrol").click()
    await expect(page.locator(".status-line")).to_contain_text("cannot be recognised yet")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Photos of Third Visitor")
    await page.get_by_role("link", name="Enrol", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Enrol a person")
    await expect(page.get_by_label("Name")).to_have_value("")
    (user,) = (await http.get(USERS, params={"q": mail})).json()["items"]
    await http.delete(f"{USERS}/{user['id']}")


async def test_a_photo_may_be_dropped_or_pasted(console):
    page = await console("/enrol")
    await page.get_by_role("button", name="Choose photos").wait_for()
    give = """([event, field, data]) => {
        const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], "given.png", { type: "image/png" }));
        const kind = event === "paste" ? ClipboardEvent : DragEvent;
        document.body.dispatchEvent(
            new kind(event, { [field]: transfer, bubbles: true, cancelable: true }));
    }"""
    data = base64.b64encode(photos.astronaut()).decode()
    await page.evaluate(give, ["drop", "dataTransfer", data])
    await expect(page.locator(".upload")).to_have_count(1)
    await page.evaluate(give, ["paste", "clipboardData", data])
    await expect(page.locator(".upload")).to_have_count(2)
    await page.get_by_role("button", name="Remove").first.click()
    await expect(page.locator(".upload")).to_have_count(1)


async def test_a_file_that_is_no_picture_is_named_without_our_own_words(console, eileen):
    page = await console(f"/people/{eileen}/photos")
    await choose(page, picture_file("nonsense.png", b"nonsense"))
    await expect(page.locator(".upload .picture")).to_have_class("picture missing")
    await page.get_by_role("button", name="Add photos").click()
    await expect(page.locator(".upload .badge")).to_have_text("Not a JPEG, PNG or WebP")
    await expect(page.locator(".upload .detail")).to_contain_text("The bytes are neither")


async def test_missing_input_is_shown_before_anything_is_sent(console):
    page = await console("/enrol")
    await page.get_by_role("button", name="Enrol").click()
    await expect(page.get_by_text("A name is needed.")).to_be_visible()
    await expect(page.get_by_label("Name")).to_be_focused()
    await fill_in(page, "Somebody")
    await page.get_by_role("button", name="Enrol").click()
    await expect(page.get_by_role("alert")).to_have_text("Choose at least one photo.")


async def test_a_person_needs_no_address_and_may_have_an_id(console, alone, http):
    page = await console("/enrol")
    own = f"visitor-{uuid4().hex}"
    await page.get_by_label("Name").fill("Fourth Visitor")
    await page.get_by_label("Own id").fill(own)
    await choose(page, picture_file("a.png", photos.astronaut()))
    await page.get_by_role("button", name="Enrol").click()
    await expect(page.locator(".status-line")).to_contain_text("Fourth Visitor is enrolled")
    (user,) = (await http.get(USERS, params={"external_id": own})).json()["items"]
    assert (user["email"], user["full_name"]) == (None, "Fourth Visitor")
    await http.patch(f"{USERS}/{user['id']}", json={"metadata": {"host": "<b>Reception</b>"}})

    await page.get_by_role("link", name="Show").click()
    await expect(page.locator(".person-head")).to_contain_text(own)
    await expect(page.locator(".person-head dd")).to_have_text("<b>Reception</b>")

    page = await console("/enrol")
    await page.get_by_label("Name").fill("Another Name")
    await page.get_by_label("Own id").fill(own)
    await choose(page, picture_file("a.png", photos.astronaut()))
    await page.get_by_role("button", name="Enrol").click()
    await expect(page.get_by_text("A person with this id already exists.")).to_be_visible()
    await http.delete(f"{USERS}/{user['id']}")


async def test_a_taken_address_leads_to_the_person_who_has_it(console, eileen, http):
    mail = (await http.get(f"{USERS}/{eileen}")).json()["email"]
    page = await console("/enrol")
    await page.get_by_label("Name").fill("Another Name")
    await page.get_by_label("E-mail").fill(mail.upper())
    await choose(page, picture_file("a.png", photos.astronaut()))
    await page.get_by_role("button", name="Enrol").click()
    await expect(page.get_by_text("A person with this address already exists.")).to_be_visible()
    await page.get_by_role("link", name="Eileen Collins").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Photos of Eileen Collins")


async def test_a_search_ranks_candidates_for_every_face(console, eileen):
    page = await console("/search")
    await choose(page, picture_file("pair.jpg", photos.two_people()))
    await expect(page.locator(".face-card")).to_have_count(2)
    for card in await page.locator(".face-card").all():
        await expect(card.get_by_role("heading")).to_contain_text("Eileen Collins")
        await expect(card.locator(".badge")).to_have_text("Matched")
        await expect(card.locator(".candidates li")).to_have_count(1)
    await expect(page.locator(".face-frame")).to_have_count(2)
    await expect(page.locator(".found")).to_contain_text("Threshold 0.")

    await page.get_by_label("Threshold").fill("1")
    await page.get_by_label("Threshold").press("Tab")
    await expect(page.locator(".face-card h2").first).to_contain_text("below the threshold")

    await choose(page, picture_file("noise.jpg", photos.nobody()))
    await expect(page.get_by_text("No face was found in this photo.")).to_be_visible()


async def test_a_deactivated_person_counts_again_when_activated(console, eileen, http):
    page = await console(f"/people/{eileen}")
    await page.get_by_role("button", name="Deactivate").click()
    await expect(page.locator("h1 .tag")).to_have_text("deactivated")
    assert (await http.get(f"{USERS}/{eileen}")).json()["is_active"] is False
    await page.get_by_role("button", name="Activate").click()
    await expect(page.locator("h1 .tag")).to_have_count(0)


async def test_deleting_asks_first_and_then_erases(console, eileen, http):
    page = await console("/people")
    await page.get_by_label("Search by name, e-mail or id").fill("eileen coll")
    await page.get_by_role("link", name="Eileen Collins").first.click()
    delete = page.get_by_role("button", name="Delete", exact=True)
    await delete.click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(delete).to_be_focused()
    assert (await http.get(f"{USERS}/{eileen}")).status_code == 200

    await delete.click()
    await dialog.get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("People")
    await expect(page.locator("#notices")).to_have_text("Eileen Collins was deleted")
    assert (await http.get(f"{USERS}/{eileen}")).status_code == 404
