"""Enrolment, search and uploads over HTTP, through the pipeline."""

import asyncio
from uuid import UUID, uuid4

import httpx
import pytest
from redis.asyncio import Redis

from domain.upload_answers import UploadAnswer, encode_answer
from domain.upload_events import enrol_event, event_uuid
from sinks.cache.recent_matches import Recents
from tests.end_to_end import photos
from tests.end_to_end.api.conftest import (
    FACES,
    SEARCH,
    USERS,
    assert_known_by_its_tag,
    assert_problem,
    new_key,
    running_app,
    until,
)


async def test_enrolment_stores_the_face_and_says_where(http, new_user, enrol):
    user = await new_user("Eileen")
    answer = await enrol(user, photos.astronaut())
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert body["status"] == "enrolled"
    assert body["photos"] == 1
    (upload,) = body["uploads"]
    face = upload["face"]
    assert face["user_id"] == user
    assert face["kind"] == "enrolled"
    assert answer.headers["location"] == f"{FACES}/{face['id']}"
    assert (await http.get(answer.headers["location"])).json() == face
    assert upload["measures"]["quality"] == pytest.approx(face["quality"])

    crop = await http.get(face["crop_url"])
    assert crop.headers["content-type"] == "image/jpeg"
    assert crop.content.startswith(b"\xff\xd8\xff")
    await assert_known_by_its_tag(http, face["crop_url"])
    status = (await http.get(upload["status_url"])).json()
    assert status["status"] == "enrolled"
    assert status["face"] == face
    listed = (await http.get(f"{USERS}/{user}/faces")).json()
    assert listed == {"items": [face], "next_cursor": None}
    assert (await http.get(f"{USERS}/{user}")).json()["photos"] == 1

    again = await enrol(user, photos.astronaut())
    assert again.status_code == 201
    assert again.json()["uploads"][0]["face"] == face
    assert (await http.get(f"{USERS}/{user}")).json()["photos"] == 1

    other = await enrol(user, photos.carphone(1)[0])
    assert other.json()["photos"] == 2
    again = await enrol(user, photos.astronaut())
    assert again.json()["photos"] == 2, "not as it was when this photo was enrolled first"


async def test_several_photos_make_one_template_and_a_repeated_one_counts_once(new_user, enrol):
    first, second = photos.carphone(2, step=10)
    answer = await enrol(await new_user(), first, second, first)
    assert answer.status_code == 201
    body = answer.json()
    assert body["photos"] == 2
    assert [one["status"] for one in body["uploads"]] == ["enrolled", "enrolled"]


@pytest.mark.parametrize(
    ("photo", "code", "measured"),
    [
        (photos.nobody, "no_face", {"faces": 0}),
        (photos.two_people, "several_faces", {"faces": 2}),
        (photos.blurred, "poor_quality", None),
    ],
)
async def test_a_refused_photo_is_a_problem_with_what_was_measured(
    new_user, enrol, photo, code, measured
):
    problem = assert_problem(await enrol(await new_user(), photo()), 422, code)
    assert problem["uploads"][0]["code"] == code
    if measured is None:
        assert 0 <= problem["measures"]["quality"] < 0.35
        assert problem["measures"]["face_pixels"] > 40
    else:
        assert problem["measures"] == measured


async def test_of_good_and_bad_photos_the_good_are_enrolled_and_the_bad_reported(new_user, enrol):
    answer = await enrol(await new_user(), photos.nobody(), photos.astronaut())
    assert answer.status_code == 201
    bad, good = answer.json()["uploads"]
    assert (bad["status"], bad["code"]) == ("refused", "no_face")
    assert good["status"] == "enrolled"


async def test_who_does_not_wait_finds_the_answer_at_the_status_address(http, new_user, enrol):
    user = await new_user()
    answer = await enrol(user, photos.carphone(1, first=40)[0], prefer="respond-async")
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.json()["status"] == "pending"
    url = answer.headers["location"]
    assert url == answer.json()["uploads"][0]["status_url"]

    async def done():
        status = await http.get(url)
        assert status.status_code == 200
        return status.json() if status.json()["status"] != "pending" else None

    status = await until(done)
    assert status["status"] == "enrolled"
    assert status["face"]["user_id"] == user


async def test_a_search_that_is_not_waited_for_is_answered_later(http):
    answer = await http.post(
        SEARCH,
        files={"photo": ("a.jpg", photos.astronaut())},
        headers={"prefer": "handling=lenient, wait=0"},
    )
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "wait=0"

    async def done():
        status = (await http.get(answer.headers["location"])).json()
        return status if status["status"] != "pending" else None

    status = await until(done)
    assert status["status"] == "searched"
    assert len(status["search"]["faces"]) == 1


async def test_a_search_that_is_answered_later_is_decided_as_was_asked(http, new_user, enrol):
    assert (await enrol(await new_user(), photos.astronaut())).status_code == 201
    answer = await http.post(
        SEARCH,
        data={"threshold": "1.0", "limit": "1"},
        files={"photo": ("a.jpg", photos.carphone(1, first=12)[0])},
        headers={"prefer": "respond-async"},
    )
    assert answer.status_code == 202
    assert answer.headers["location"] == answer.json()["status_url"]

    async def done():
        status = (await http.get(answer.headers["location"])).json()
        return status if status["status"] != "pending" else None

    found = (await until(done))["search"]
    assert found["threshold"] == 1.0
    assert {face["decision"] for face in found["faces"]} == {"below_threshold"}
    assert all(len(face["candidates"]) <= 1 for face in found["faces"])
    for wrong in ({"limit": 11}, {"limit": 0}, {"threshold": 2}, {"threshold": "nan"}):
        status = await http.get(f"/api/v1/uploads/{found['upload_id']}", params=wrong)
        assert_problem(status, 422, "invalid_request")


async def test_a_face_that_is_deleted_before_its_announcement_breaks_nothing(
    http, new_user, enrol, prepared
):
    """The answer names a face that is not there any more, as between two requests at once."""
    user, photo = await new_user(), photos.carphone(1, first=81)[0]
    upload = enrol_event(UUID(user), photo)
    gone = UploadAnswer(
        upload_id=upload.id, status="enrolled", model="m", user_id=UUID(user), face_id=uuid4()
    )
    async with Recents(prepared.redis) as recents:
        await recents.answer(upload.id, encode_answer(gone))
    answer = await enrol(user, photo)
    assert answer.status_code == 201, answer.text
    assert answer.json()["uploads"][0]["face"] is None
    assert "location" not in answer.headers


async def test_an_answer_that_redis_has_lost_is_in_the_ledger(http, search, prepared):
    found = (await search(photos.astronaut())).json()
    redis = Redis.from_url(prepared.redis.url)
    await redis.flushdb()
    await redis.aclose()
    status = (await http.get(f"/api/v1/uploads/{found['upload_id']}")).json()
    assert status["status"] == "searched"
    assert [face["face_id"] for face in status["search"]["faces"]] == [
        face["face_id"] for face in found["faces"]
    ]


async def test_an_answer_that_redis_loses_while_it_is_awaited_comes_from_the_ledger(
    prepared, new_user, workers
):
    """The waiter hears nothing: its Redis is another one."""
    user = await new_user()
    key = await new_key(prepared, "enrol")
    elsewhere = prepared.redis.model_copy(update={"port": 1})
    settings = prepared.model_copy(update={"redis": elsewhere})
    async with running_app(settings, answer_timeout=15.0) as client:
        answer = await client.post(
            FACES,
            data={"user_id": user},
            files={"photos": ("a.jpg", photos.carphone(1, first=70)[0])},
            headers={"X-API-Key": key},
            timeout=60,
        )
    assert answer.status_code == 201, answer.text


async def test_an_upload_that_was_never_made_is_not_found(http):
    assert_problem(await http.get(f"/api/v1/uploads/{uuid4()}"), 404, "upload_not_found")


async def test_a_search_names_the_person_and_ranks_candidates(new_user, enrol, search):
    user = await new_user("Man in a car")
    assert (await enrol(user, *photos.carphone(3, first=3, step=7))).status_code == 201
    answer = await search(photos.carphone(1, first=50)[0], limit=1)
    assert answer.status_code == 200
    (face,) = answer.json()["faces"]
    assert len(face["candidates"]) == 1
    similar = await search(photos.carphone(1, first=50)[0], limit=10)
    candidates = similar.json()["faces"][0]["candidates"]
    assert user in [one["user"]["id"] for one in candidates]
    similarities = [one["similarity"] for one in candidates]
    assert similarities == sorted(similarities, reverse=True)
    assert 0.45 < similarities[0] <= 1.0


async def test_another_threshold_decides_again(http, search, records):
    # The only user in the gallery: users of other tests are suspended.
    probe = photos.astronaut()
    answer = (await search(probe, threshold=1.0)).json()
    assert answer["threshold"] == 1.0
    (face,) = answer["faces"]
    assert face["decision"] in {"below_threshold", "ambiguous", "empty_gallery", "matched"}
    if face["candidates"] and face["candidates"][0]["similarity"] < 1.0:
        assert face["decision"] == "below_threshold"
        assert face["user"] is None
    low = (await search(photos.blurred(), threshold=-1.0)).json()
    assert low["threshold"] == -1.0
    assert all(face["decision"] != "below_threshold" for face in low["faces"])


async def test_a_photo_without_a_face_has_no_results(search):
    answer = await search(photos.nobody())
    assert answer.status_code == 200
    assert answer.json()["faces"] == []


async def test_every_face_of_a_photo_is_searched(search):
    assert len((await search(photos.two_people())).json()["faces"]) == 2


async def test_two_hundred_searches_at_once_are_answered_each_with_its_own(http, capsys):
    """Photos of several sizes: whose answer came to whom shows in where the face lies."""
    widths = [200 + 4 * number for number in range(200)]
    probes = [photos.astronaut_of_width(width) for width in widths]
    clock = asyncio.get_running_loop().time

    async def one(probe: bytes) -> tuple[httpx.Response, float]:
        began = clock()
        answer = await http.post(SEARCH, files={"photo": ("probe.jpg", probe)})
        return answer, clock() - began

    answers = await asyncio.gather(*(one(probe) for probe in probes))
    ids = set()
    for width, (answer, _) in zip(widths, answers, strict=True):
        assert answer.status_code == 200, answer.text
        body = answer.json()
        ids.add(body["upload_id"])
        (face,) = body["faces"]
        x, _, w, _ = face["box"]
        # In the original of 512 pixels the face's middle lies at 223.
        assert (x + w / 2) / width == pytest.approx(223 / 512, abs=0.03)
        assert w / width == pytest.approx(90 / 512, abs=0.03)
    assert len(ids) == 200
    seconds = sorted(took for _, took in answers)
    with capsys.disabled():
        print(f"\n200 searches at once: p50 {seconds[100]:.2f} s, p95 {seconds[190]:.2f} s")  # noqa: T201 - for the note


async def test_a_deleted_face_leaves_the_template_and_may_be_enrolled_again(
    http, new_user, enrol, vectors
):
    user = await new_user()
    first, second = photos.carphone(2, first=20, step=30)
    body = (await enrol(user, first, second)).json()
    one, other = (upload["face"] for upload in body["uploads"])
    model = one["model"]
    before = await template(vectors, model, user)
    assert (await http.delete(f"{FACES}/{one['id']}")).status_code == 204
    assert_problem(await http.get(f"{FACES}/{one['id']}"), 404, "face_not_found")
    assert_problem(await http.get(one["crop_url"]), 404, "face_not_found")
    assert_problem(await http.delete(f"{FACES}/{one['id']}"), 404, "face_not_found")
    after = await template(vectors, model, user)
    assert (before != after).any()
    assert (await http.get(f"{USERS}/{user}")).json()["photos"] == 1

    again = await enrol(user, first)
    assert again.status_code == 201, again.text
    assert again.json()["uploads"][0]["face"]["id"] == one["id"]
    assert again.json()["photos"] == 2
    assert (await template(vectors, model, user)) == pytest.approx(before, abs=1e-5)

    for face in (one, other):
        assert (await http.delete(f"{FACES}/{face['id']}")).status_code == 204
    assert await template(vectors, model, user) is None


async def template(vectors, model, user):
    """The person's template in the gallery, as every worker gets it."""
    changes = await vectors.changes(model, 0, 100_000)
    return next((one.embedding for one in changes if str(one.user_id) == user), None)


def test_the_ledger_calls_an_upload_what_its_event_is_called():
    upload = uuid4()
    assert event_uuid(str(upload)).version == 5
