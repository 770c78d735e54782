"""One visit with its faces, and the visits of a person."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from playwright.async_api import expect

from domain.liveness_result import Liveness
from tests.end_to_end.console.announced import changed, here, left


def fact(page, term):
    return (
        page.locator(".facts dl div").filter(has=page.get_by_text(term, exact=True)).locator("dd")
    )


def new_camera() -> str:
    return f"door-{uuid4().hex[:6]}"


async def test_a_visit_has_its_faces_next_to_the_enrolled_photo(console, announce, eileen, shot):
    camera = new_camera()
    faces = await announce.faces(camera, 3, eileen)
    visit = here(camera, eileen, ago=90, faces=3, best_face_id=faces[1])
    await announce(visit, faces=faces)
    page = await console()
    await page.locator(".here .visit", has_text=camera).click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Eileen Collins")
    assert page.url.endswith(f"#/visits/{visit.visit_id}")
    await expect(page.get_by_role("link", name="Live", exact=True).first).to_have_attribute(
        "aria-current", "page"
    )
    await expect(page.locator(".facts .tag")).to_have_text("here now")
    await expect(fact(page, "Camera")).to_have_text(camera)
    await expect(fact(page, "Similarity")).to_have_text("0.68")
    await expect(fact(page, "Faces")).to_have_text("3")
    for name in ("Best face of the visit: Eileen Collins", "Enrolled photo of Eileen Collins"):
        await expect(page.get_by_role("img", name=name)).to_be_visible()
    await expect(page.locator(".faces-grid img")).to_have_count(3)
    await expect(page.locator(".faces-grid img").last).to_be_visible()
    await expect(page.locator(".snapshot")).to_have_count(0)
    await shot(page, "visit")

    await announce(left(visit, "maximum"))
    await expect(page.locator(".facts .tag")).to_have_text("left")
    await expect(fact(page, "Note")).to_have_text("stayed: another visit continues")
    await page.reload()
    await expect(page.locator(".facts .tag")).to_have_text("left")
    await page.go_back()
    await expect(page.locator(".left .visit", has_text=camera)).to_have_count(1)


async def test_the_whole_picture_is_shown_where_it_is_kept(console, announce, shot):
    camera = new_camera()
    faces = await announce.faces(camera, 2, snapshots=True)
    visit = here(camera, faces=2, best_face_id=faces[1])
    await announce(visit, faces=faces)
    page = await console(f"/visits/{visit.visit_id}")
    whole = page.get_by_role("img", name=f"The whole picture of camera {camera}")
    await expect(whole).to_be_visible()
    shape = await whole.bounding_box()
    assert round(shape["width"] / shape["height"], 2) == 1.78, "the frame is not cut"
    await shot(page, "visit-with-snapshot")


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("live", "live"),
        ("spoof", "picture suspected"),
        ("input_rejected", "liveness not checked: poor picture"),
        ("not_run", "liveness not checked"),
        ("of_a_later_release", "of a later release"),
    ],
)
async def test_the_page_says_whether_a_person_was_there(console, announce, status, word):
    camera = new_camera()
    score = 0.25 if status in {"live", "spoof"} else None
    visit = here(camera)
    await announce(visit)
    page = await console()
    card = page.locator(".here .visit", has_text=camera)
    await expect(card).to_have_count(1)
    await expect(card.locator(".liveness")).to_have_text("")
    result = Liveness(model="minifasnet-1", score=score, status=status)
    await announce(changed(visit, liveness=result))
    await expect(card.locator(".liveness")).to_contain_text(word)
    spoken = page.locator("[aria-live=polite]", has_text=f"at {camera}, picture suspected")
    await expect(spoken).to_have_count(1 if status == "spoof" else 0)
    await card.click()
    await expect(fact(page, "Liveness")).to_contain_text(word)
    title = await fact(page, "Liveness").locator(".liveness").get_attribute("title")
    assert title == ("" if score is None else "probability of a person: 0.25")


async def test_more_faces_come_on_request(console, announce):
    camera = new_camera()
    faces = await announce.faces(camera, 61)
    visit = here(camera, faces=61)
    await announce(visit, faces=faces)
    page = await console(f"/visits/{visit.visit_id}")
    await expect(page.locator(".faces-grid li")).to_have_count(60)
    await page.get_by_role("button", name="Show more").click()
    await expect(page.locator(".faces-grid li")).to_have_count(61)
    await expect(page.get_by_role("button", name="Show more")).to_have_count(0)
    await expect(page.get_by_role("heading", level=1)).to_have_text("? Unknown here now")
    await expect(page.locator(".compare img")).to_have_count(1)
    await expect(fact(page, "Similarity")).to_have_count(0)


async def test_a_visit_without_faces_and_one_that_does_not_exist_say_so(console, announce):
    visit = here(new_camera())
    await announce(visit)
    page = await console(f"/visits/{visit.visit_id}")
    await expect(page.get_by_text("No faces are kept of this visit.")).to_be_visible()
    await page.evaluate("path => { location.hash = path; }", f"/visits/{uuid4()}")
    await expect(page.get_by_role("alert")).to_contain_text("There is no such visit")


async def test_a_person_has_visits_with_the_score_of_live(console, announce, new_user):
    user, camera, other = await new_user("Ada Lovelace"), new_camera(), new_camera()
    first = here(other, user, ago=500.5, last_seen_at=datetime.now(UTC) - timedelta(seconds=440))
    visit = here(camera, user, similarity=0.57)
    await announce(left(first), visit, changed(visit, similarity=0.63, reason="best_face"))
    page = await console()
    await expect(page.locator(".here .visit", has_text=camera).locator(".score")).to_have_text(
        "similarity 0.63"
    )
    await page.evaluate("path => { location.hash = path; }", f"/people/{user}")
    rows = page.locator(".seen .visit")
    await expect(rows.locator(".name")).to_have_text([camera, other])
    await expect(rows.locator(".score")).to_have_text(["similarity 0.63", "similarity 0.68"])
    await expect(rows.nth(0)).to_contain_text("here now")
    await expect(rows.nth(1).locator(".length")).to_have_text("1 min")
    await expect(rows.nth(1).locator("time")).to_have_count(2)
    await rows.nth(0).click()
    await expect(fact(page, "Similarity")).to_have_text("0.63")
