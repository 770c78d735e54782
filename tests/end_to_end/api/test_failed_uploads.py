"""An upload that the pipeline gives up: its caller learns it, and a second try is a new one."""

from uuid import uuid4

import pytest

from domain.store_rows import EventResult, Outcome
from domain.upload_events import search_event
from tests.end_to_end import photos
from tests.end_to_end.api.conftest import FACES, SEARCH, USERS, assert_problem, running_app, until
from tests.end_to_end.conftest import running_workers
from tests.end_to_end.delivery import bench
from tests.end_to_end.test_dead_letters import fecapass
from tests.stored_records import commit_results


@pytest.fixture
async def own(prepared, environment, tmp_path, store):
    """Workers for which every claim check is denied, though its photo was stored."""
    denying = {"S3__ENDPOINT_URL": store.url, "WORKERS__DENIED_PATIENCE": "1"}
    async with bench(prepared, environment, tmp_path, **denying) as made:
        yield made


def settings_of(own):
    kafka = own.settings.kafka.model_copy(update={"claim_check": True})
    return own.settings.model_copy(update={"kafka": kafka})


async def test_a_caller_learns_that_an_upload_was_given_up(own, store, tmp_path):
    store.answer = (403, "AccessDenied")
    photo = photos.nobody()
    async with (
        running_workers(["detect", "identify"], own.environment, tmp_path),
        running_app(settings_of(own), auth=False, answer_timeout=60) as http,
    ):
        asked = await http.post(SEARCH, files={"photo": ("a.jpg", photo)})
        problem = assert_problem(asked, 500, "upload_failed")
        assert problem["reason"] == "access_denied"
        user = await http.post(USERS, json={"email": f"{uuid4().hex}@example.com"})

        async def enrol():
            data = {"user_id": user.json()["id"]}
            return await http.post(FACES, data=data, files=[("photos", ("a.jpg", photo))])

        problem = assert_problem(await enrol(), 500, "upload_failed")
        (upload,) = problem["uploads"]
        assert (upload["status"], upload["code"]) == ("failed", "access_denied")
        status = (await http.get(upload["status_url"])).json()
        assert (status["status"], status["code"]) == ("failed", "access_denied")

        store.answer = (200, "")
        problem = assert_problem(await enrol(), 422, "no_face")
        assert (await http.get(upload["status_url"])).json()["status"] == "refused"


async def test_a_replay_takes_the_place_of_the_failure(own, store, tmp_path):
    store.answer = (403, "AccessDenied")
    async with (
        running_workers(["detect", "identify"], own.environment, tmp_path),
        running_app(settings_of(own), auth=False, answer_timeout=60) as http,
    ):
        asked = await http.post(
            SEARCH,
            files={"photo": ("a.jpg", photos.nobody())},
            headers={"Prefer": "respond-async"},
        )
        address = asked.json()["status_url"]

        async def is_(status):
            return (await http.get(address)).json()["status"] == status

        await until(lambda: is_("failed"))
        store.answer = (200, "")
        code, _, errors = await fecapass(own, "replay", "photo.uploads")
        assert code == 0, errors
        await until(lambda: is_("searched"))


async def test_an_answer_of_a_later_release_is_pending_here(prepared, records):
    """The API may be a release behind the workers during an upgrade."""
    event = search_event()
    result = EventResult(
        event=event,
        model="m",
        width=1,
        height=1,
        outcome=Outcome.SEARCHED,
        face_count=0,
        answer=b'{"upload_id": "u", "status": "postponed"}',
    )
    await commit_results(records, [result])
    async with running_app(prepared, auth=False) as http:
        read = await http.get(f"/api/v1/uploads/{event.id}")
    assert (read.status_code, read.json()["status"]) == (200, "pending")
