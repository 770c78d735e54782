"""Whom an unknown face resembles most, and where else it was seen."""

from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest
from msgspec import structs

from domain.events import MatchKind
from domain.store_rows import Outcome, Sighting
from sinks.cache.probes import KEPT_MILLISECONDS, CachedProbe, probe_key
from tests.contract.builders import NOON, a_result, a_vector, an_event, unique
from tests.end_to_end import photos
from tests.end_to_end.api.conftest import (
    FACES,
    MATCHES,
    SEARCH,
    USERS,
    assert_problem,
    bearer,
    new_key,
)
from tests.stored_records import commit_results

SINCE = {"since": "2026-05-01T00:00:00Z"}


@pytest.fixture
async def reader(gateway, prepared):
    headers = bearer(await new_key(prepared, "read"))
    async with httpx.AsyncClient(base_url=gateway.address, headers=headers) as client:
        yield client


@pytest.fixture
async def model(vectors):
    name = unique("similar")
    await vectors.ensure_model(name, 8)
    return name


@pytest.fixture
def saw(records, vectors, model):
    """Stores a face that a camera saw, with its embedding; returns its match."""

    async def store(embedding, *, seconds=0, user=None, **fields):
        event = an_event(seconds=seconds)
        result = a_result(event, 1, user, model=model)
        (row,) = result.faces
        match = structs.replace(row.match, **fields)
        result = structs.replace(result, faces=(structs.replace(row, match=match),))
        await commit_results(records, [result])
        await vectors.add_sightings(
            model,
            [Sighting(face_id=match.face_id, user_id=user, embedding=embedding,
                      captured_at=event.captured_at)],
        )  # fmt: skip
        return match

    return store


def near(probe, rng, distance):
    other = probe + distance * a_vector(rng, 8)
    return (other / np.linalg.norm(other)).astype(np.float32)


async def test_only_keys_that_may_search_learn_the_candidate_of_an_unknown(
    http, reader, new_user, saw
):
    user = await new_user("Ada Lovelace")
    match = await saw(a_vector(np.random.default_rng(1), 8), candidate_id=user)
    place = {"camera_id": match.camera_id}
    (seen,) = (await http.get(MATCHES, params=place)).json()["items"]
    assert (seen["candidate"]["id"], seen["candidate"]["full_name"]) == (user, "Ada Lovelace")
    assert (seen["user"], seen["decision"], seen["similarity"]) == (None, "below_threshold", 0.7)
    face = (await http.get(f"{FACES}/{match.face_id}")).json()
    assert face["candidate"] == seen["candidate"]
    (hidden,) = (await reader.get(MATCHES, params=place)).json()["items"]
    assert hidden == seen | {"candidate": None}
    assert (await reader.get(f"{FACES}/{match.face_id}")).json() == face | {"candidate": None}

    await http.delete(f"{USERS}/{user}")
    (after,) = (await http.get(MATCHES, params=place)).json()["items"]
    assert (after["candidate"], after["similarity"]) == (None, 0.7)


async def test_sightings_like_a_face_are_ranked_with_camera_and_time(http, saw, new_user):
    rng = np.random.default_rng(2)
    probe, user = a_vector(rng, 8), await new_user("Grace")
    wanted = await saw(probe)
    close = await saw(near(probe, rng, 0.1), seconds=60, user=user)
    further = await saw(near(probe, rng, 0.6), seconds=120)
    far = await saw(-probe, seconds=180)
    answer = await http.get(f"{FACES}/{wanted.face_id}/similar", params=SINCE)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    found = [(one["match"]["face_id"], one["match"]["camera_id"]) for one in body["items"]]
    assert found == [(str(one.face_id), one.camera_id) for one in (close, further, far)]
    ranked = [one["similarity"] for one in body["items"]]
    assert ranked == sorted(ranked, reverse=True)
    assert ranked[0] > 0.98
    assert ranked[-1] == pytest.approx(-1.0, abs=1e-5)
    assert body["items"][0]["match"]["user"]["full_name"] == "Grace"
    assert body["items"][0]["match"]["seen_at"] == "2026-05-04T12:01:00Z"
    assert (body["since"], body["until"]) == (SINCE["since"], None)

    between = {"since": "2026-05-04T12:01:30Z", "until": "2026-05-04T12:03:00Z"}
    answer = await http.get(f"{FACES}/{wanted.face_id}/similar", params=between)
    assert [one["match"]["face_id"] for one in answer.json()["items"]] == [str(further.face_id)]
    answer = await http.get(f"{FACES}/{wanted.face_id}/similar", params=SINCE | {"limit": 1})
    assert [one["match"]["face_id"] for one in answer.json()["items"]] == [str(close.face_id)]
    # The faces are months old: a search that names no time goes back a week.
    assert (await http.get(f"{FACES}/{wanted.face_id}/similar")).json()["items"] == []


async def test_a_face_without_its_own_embedding_is_looked_for_by_the_best_of_its_track(
    http, saw, records, model
):
    rng = np.random.default_rng(3)
    probe = a_vector(rng, 8)
    best = await saw(probe, track_id=uuid4())
    other = await saw(near(probe, rng, 0.2))
    event = an_event()
    result = a_result(event, 1, model=model)
    (row,) = result.faces
    match = structs.replace(row.match, track_id=best.track_id, crop_key=None, fresh=False)
    row = structs.replace(row, match=match, best_face_id=best.face_id)
    await commit_results(records, [structs.replace(result, faces=(row,))])
    answer = await http.get(f"{FACES}/{match.face_id}/similar", params=SINCE)
    assert [one["match"]["face_id"] for one in answer.json()["items"]] == [str(other.face_id)]


async def test_an_enrolled_photo_finds_the_sightings_of_an_active_user_only(
    http, saw, records, vectors, model, new_user
):
    rng = np.random.default_rng(4)
    probe, user = a_vector(rng, 8), await new_user("Ada")
    result = a_result(an_event(), 1, user, model=model)
    (row,) = result.faces
    match = structs.replace(row.match, kind=MatchKind.ENROLLED, decision=None)
    row = structs.replace(row, match=match)
    result = structs.replace(result, faces=(row,), outcome=Outcome.ENROLLED)
    await commit_results(records, [result])
    await vectors.enrol(match.face_id, user, model, probe, NOON)
    seen = await saw(near(probe, rng, 0.2))
    address = f"{FACES}/{match.face_id}/similar"
    answer = await http.get(address, params=SINCE)
    assert [one["match"]["face_id"] for one in answer.json()["items"]] == [str(seen.face_id)]

    await http.patch(f"{USERS}/{user}", json={"is_active": False})
    assert_problem(await http.get(address, params=SINCE), 409, "user_inactive")
    await http.delete(f"{USERS}/{user}")
    assert_problem(await http.get(address, params=SINCE), 404, "face_not_found")


async def test_sightings_of_an_erased_user_are_an_unknowns(http, saw, new_user):
    rng = np.random.default_rng(5)
    probe, user = a_vector(rng, 8), await new_user("Gone")
    wanted, theirs = await saw(probe), await saw(near(probe, rng, 0.2), user=user)
    await http.delete(f"{USERS}/{user}")
    (found,) = (await http.get(f"{FACES}/{wanted.face_id}/similar", params=SINCE)).json()["items"]
    assert found["match"]["face_id"] == str(theirs.face_id)
    assert (found["match"]["user"], found["match"]["crop_url"]) == (None, None)


async def test_the_face_of_a_photo_is_looked_for_and_not_stored(http, records, vectors):
    photo = {"photo": photos.astronaut()}
    wanted = {"sightings": "true"}
    answer = await http.post(SEARCH, files=photo, data=wanted)
    assert answer.status_code == 200, answer.text
    model, (face,) = answer.json()["model"], answer.json()["faces"]
    probe = f"{FACES}/{face['face_id']}"
    # The embedding is in Redis before the answer is; each search has its own faces.
    body = (await http.get(f"{probe}/similar")).json()
    assert (body["model"], body["face_id"]) == (model, face["face_id"])
    assert_problem(await http.get(probe), 404, "face_not_found")
    assert await vectors.embeddings_of(UUID(face["face_id"])) == {}

    plain = (await http.post(SEARCH, files=photo)).json()["faces"][0]["face_id"]
    assert_problem(await http.get(f"{FACES}/{plain}/similar"), 404, "face_not_found")


async def test_a_face_of_a_search_finds_sightings(http, saw, recents, model):
    rng = np.random.default_rng(7)
    probe, face_id = a_vector(rng, 8), uuid4()
    seen = await saw(near(probe, rng, 0.1))
    await recents.remember_probes({face_id: CachedProbe(model, probe.astype("<f4").tobytes())})
    body = (await http.get(f"{FACES}/{face_id}/similar", params=SINCE)).json()
    assert [one["match"]["face_id"] for one in body["items"]] == [str(seen.face_id)]
    assert 0 < await recents._client.pttl(probe_key(face_id)) <= KEPT_MILLISECONDS


async def test_what_cannot_be_looked_for_is_said(http, prepared, gateway, saw, vectors):
    wanted = await saw(a_vector(np.random.default_rng(6), 8))
    address = f"{FACES}/{wanted.face_id}/similar"
    for scope in ("read", "search"):
        headers = bearer(await new_key(prepared, scope))
        async with httpx.AsyncClient(base_url=gateway.address, headers=headers) as client:
            assert_problem(await client.get(address), 403, "scope_missing")
    headers = bearer(await new_key(prepared, "read", "search"))
    async with httpx.AsyncClient(base_url=gateway.address, headers=headers) as client:
        assert (await client.get(address)).status_code == 200
    backwards = {"since": NOON.isoformat(), "until": (NOON - timedelta(days=1)).isoformat()}
    assert_problem(await http.get(address, params=backwards), 422, "invalid_request")
    earliest = {"until": "0001-01-02T00:00:00Z"}
    assert (await http.get(address, params=earliest)).json()["items"] == []
    await vectors.remove_sighting(wanted.face_id)
    assert_problem(await http.get(address), 404, "embedding_not_found")
    assert_problem(await http.get(f"{FACES}/{uuid4()}/similar"), 404, "face_not_found")
