"""Who was where from when to when: listed, one by one, as CSV, now, and live."""

import csv
import io
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from msgspec import structs
from sqlalchemy import update

from api.listings import visit_csv
from api.live.visit_broadcast import Announcement, Position
from domain.liveness_result import Liveness
from domain.object_keys import snapshot_key
from domain.visit_events import Visit, VisitState
from sinks.main.database_sessions import Databases
from sinks.main.visit_schema import VisitRow
from streams.contract.visit_codec import visit_to_json
from tests.contract.builders import a_result, an_event, unique
from tests.end_to_end.api.conftest import (
    PRESENCE,
    VISITS,
    assert_known_by_its_tag,
    assert_problem,
    bearer,
    new_key,
    running_app,
)
from tests.end_to_end.api.test_matches import events_of
from tests.end_to_end.planted_visits import (
    NOON,
    a_visit,
    plant,
    plant_faces,
    plant_unknown,
    still_there,
)
from tests.stored_records import commit_results

STREAM = f"{VISITS}/stream"


@pytest_asyncio.fixture
async def databases(prepared):
    async with Databases(prepared) as opened:
        yield opened


@pytest.fixture
def camera() -> str:
    return f"door {unique('')}"


async def listed(http, **params) -> list[dict]:
    answer = await http.get(VISITS, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def ids(items: list[dict] | list[Visit]) -> list[str]:
    return [str(one["visit_id"] if isinstance(one, dict) else one.visit_id) for one in items]


async def test_visits_are_listed_newest_first_in_pages(http, databases, camera):
    visits = [a_visit(camera, minutes=n) for n in range(5)]
    # Two that began together: the id decides.
    visits += [a_visit(camera, minutes=4, visit_id=UUID(int=visits[4].visit_id.int + n)) for n in (1, 2)]  # fmt: skip  # noqa: E501
    await plant(databases, visits)
    expected = ids(sorted(visits, key=lambda one: (one.started_at, one.visit_id), reverse=True))
    assert ids(await listed(http, camera_id=camera)) == expected
    found, cursor = [], None
    while True:
        params = {"camera_id": camera, "limit": 3} | ({"cursor": cursor} if cursor else {})
        page = (await http.get(VISITS, params=params)).json()
        assert len(page["items"]) <= 3
        found += ids(page["items"])
        if (cursor := page["next_cursor"]) is None:
            break
    assert found == expected


async def test_a_visit_has_the_name_the_duration_and_the_best_crop(
    http, databases, records, new_user, camera
):
    user = await new_user("Ada")
    known, unknown = a_visit(camera, user, continues=uuid4(), late=2), a_visit(camera, minutes=1)
    await plant(databases, [known, unknown])
    best, *_ = await plant_faces(databases, records, known, 2)
    async with databases.main.begin() as session:
        changed = update(VisitRow).where(VisitRow.visit_id == known.visit_id)
        await session.execute(changed.values(best_face_id=best))
    second, first = await listed(http, camera_id=camera)
    assert first.pop("user")["full_name"] == "Ada"
    assert first == {
        "visit_id": str(known.visit_id),
        "camera_id": camera,
        "revision": 2,
        "state": "ended",
        "user_id": user,
        "unknown_id": None,
        "similarity": 0.7,
        "started_at": "2026-11-23T12:00:00Z",
        "last_seen_at": "2026-11-23T12:01:30Z",
        "ended_at": "2026-11-23T12:01:30Z",
        "seconds": 90.0,
        "faces": 7,
        "late": 2,
        "best_face_id": str(best),
        "crop_url": f"/api/v1/faces/{best}/crop",
        "snapshot_url": None,
        "liveness": None,
        "reason": "left",
        "continues": str(known.continues),
    }
    assert second["user"] is second["user_id"] is second["crop_url"] is None


async def test_the_liveness_of_a_visit_is_listed(http, databases, camera):
    spoof = Liveness(model="minifasnet-1", score=0.25, status="spoof")
    await plant(databases, [a_visit(camera, liveness=spoof)])
    (found,) = await listed(http, camera_id=camera)
    assert found["liveness"] == {"model": "minifasnet-1", "score": 0.25, "status": "spoof"}
    csv = await http.get(
        "/api/v1/visits", params={"camera_id": camera}, headers={"Accept": "text/csv"}
    )
    head, row = csv.text.splitlines()
    assert (head.split(",")[-2], row.split(",")[-2]) == ("liveness", "spoof")


async def test_a_visit_has_the_whole_frame_of_its_best_face(
    http, databases, records, crops, camera, prepared
):
    shown, without = a_visit(camera), a_visit(camera, minutes=1)
    await plant(databases, [shown, without])
    event = an_event(camera)
    key = snapshot_key(camera, event.captured_at, event.uuid)
    result = structs.replace(a_result(event), snapshot_key=key)
    await commit_results(records, [result])
    await crops.put(key, b"\xff\xd8\xff frame")
    await records.mark_announced([result.key])
    best = result.faces[0].match.face_id
    async with databases.main.begin() as session:
        changed = update(VisitRow).where(VisitRow.visit_id == shown.visit_id)
        await session.execute(changed.values(best_face_id=best))
    address = f"{VISITS}/{shown.visit_id}/snapshot"
    other, first = await listed(http, camera_id=camera)
    assert (first["snapshot_url"], other["snapshot_url"]) == (address, None)
    assert (await http.get(f"{VISITS}/{shown.visit_id}")).json()["snapshot_url"] == address
    picture = await http.get(address)
    assert picture.content == b"\xff\xd8\xff frame"
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.headers["cache-control"] == "private, max-age=60"
    await assert_known_by_its_tag(http, address)
    missing = [f"{VISITS}/{one}/snapshot" for one in (without.visit_id, uuid4())]
    for one in missing:
        assert_problem(await http.get(one), 404, "snapshot_not_found")
    async with httpx.AsyncClient(base_url=http.base_url) as client:
        # Evidence of who was where.
        headers = bearer(await new_key(prepared, "read", "enrol", "search"))
        answer = await client.delete(f"/api/v1/faces/{best}", headers=headers)
        assert_problem(answer, 403, "scope_missing")
    assert (await http.delete(f"/api/v1/faces/{best}")).status_code == 204
    assert_problem(await http.get(address), 404, "snapshot_not_found")
    assert not await crops.exists(key)
    assert await records.snapshots_of([best]) == {}


async def test_each_filter_chooses_its_visits(http, databases, new_user, camera):
    user, other = await new_user(), await new_user()
    visits = {
        "user": a_visit(camera, user),
        "other": a_visit(camera, other, minutes=1),
        "unknown": a_visit(camera, minutes=2),
        "open": still_there(a_visit(camera, user, minutes=3)),
    }
    await plant(databases, list(visits.values()))
    unknown_id = await plant_unknown(databases, [visits["unknown"]])

    async def names(**params) -> set[str]:
        found = ids(await listed(http, camera_id=camera, **params))
        return {name for name, visit in visits.items() if str(visit.visit_id) in found}

    assert await names() == visits.keys()
    assert await names(user_id=user) == {"user", "open"}
    assert await names(unknown_id=str(unknown_id)) == {"unknown"}
    assert await names(unknown_id=str(uuid4())) == set()
    assert await names(known=True) == {"user", "other", "open"}
    assert await names(known=False) == {"unknown"}
    assert await names(open=True) == {"open"}
    assert await names(open=False) == {"user", "other", "unknown"}
    minute = [(NOON + timedelta(minutes=n)).isoformat() for n in range(4)]
    assert await names(since=minute[1]) == {"other", "unknown", "open"}
    assert await names(until=minute[1]) == {"user"}
    assert await names(since=minute[1], until=minute[3]) == {"other", "unknown"}
    assert await names(since=minute[1], until=minute[1]) == set()
    assert ids(await listed(http, camera_id=unique("no camera"))) == []


async def test_what_was_not_announced_or_was_merged_is_not_listed(http, databases, camera):
    pending = structs.replace(
        still_there(a_visit(camera)), revision=0, state=VisitState.PENDING, announced_at=None
    )
    merged, kept = a_visit(camera, reason="merged", faces=0), a_visit(camera, minutes=1)
    await plant(databases, [pending, merged, kept])
    assert ids(await listed(http, camera_id=camera)) == ids([kept])
    assert (await http.get(PRESENCE, params={"camera_id": camera})).json()["items"] == []
    rows = await csv_rows(http, camera_id=camera)
    assert [row["visit_id"] for row in rows] == ids([kept])
    assert_problem(await http.get(f"{VISITS}/{pending.visit_id}"), 404, "visit_not_found")
    assert_problem(await http.get(f"{VISITS}/{uuid4()}"), 404, "visit_not_found")
    found = (await http.get(f"{VISITS}/{merged.visit_id}")).json()
    assert (found["reason"], found["matches"]) == ("merged", [])


async def test_a_visit_is_read_with_its_faces_in_pages(http, databases, records, new_user, camera):
    user = await new_user("Grace")
    visit, other = a_visit(camera, user), a_visit(camera, user)
    await plant(databases, [visit, other])
    faces = await plant_faces(databases, records, visit, 5)
    await plant_faces(databases, records, other, 1)
    address, found, cursor = f"{VISITS}/{visit.visit_id}", [], None
    for expected in (2, 2, 1):
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await http.get(address, params=params)).json()
        assert (page["visit_id"], page["user"]["full_name"]) == (str(visit.visit_id), "Grace")
        assert len(page["matches"]) == expected
        assert {one["user"]["full_name"] for one in page["matches"]} == {"Grace"}
        found += [one["face_id"] for one in page["matches"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert found == [str(face) for face in reversed(faces)]


async def test_who_is_where_now_is_one_call(http, databases, new_user, camera):
    user = await new_user("Here Now")
    here = still_there(a_visit(camera, user, minutes=1))
    unknown = still_there(a_visit(camera, minutes=2))
    elsewhere = still_there(a_visit(unique("other"), user, minutes=3))
    await plant(databases, [here, unknown, elsewhere, a_visit(camera, user)])
    answer = (await http.get(PRESENCE, params={"camera_id": camera})).json()
    assert ids(answer["items"]) == ids([unknown, here])
    assert answer["total"] == 2
    assert [one["user"] and one["user"]["full_name"] for one in answer["items"]] == [
        None, "Here Now",
    ]  # fmt: skip
    where = (await http.get(PRESENCE, params={"user_id": user})).json()
    assert ids(where["items"]) == ids([elsewhere, here])
    assert set(ids([here, unknown, elsewhere])) <= set(
        ids((await http.get(PRESENCE)).json()["items"])
    )
    nothing = (await http.get(PRESENCE, params={"camera_id": unique("empty")})).json()
    assert nothing == {"items": [], "total": 0}


async def csv_rows(http, **params) -> list[dict[str, str]]:
    answer = await http.get(VISITS, params=params, headers={"Accept": "text/csv"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["vary"].split(", ")[0] == "Accept"
    assert "visits.csv" in answer.headers["content-disposition"]
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


async def test_attendance_for_a_day_is_one_call(http, databases, new_user, camera):
    user = await new_user("Ada, the first")
    day = {"since": "2026-11-23T00:00:00+01:00", "until": "2026-11-24T00:00:00+01:00"}
    minutes = [-721, -780, -779, 0, 659, 660]  # the day begins and ends at 23:00 UTC
    visits = [a_visit(camera, user, minutes=n) for n in minutes]
    await plant(
        databases, [*visits, a_visit(camera, minutes=5), still_there(a_visit(camera, user))]
    )
    rows = await csv_rows(http, camera_id=camera, known=True, open=False, **day)
    inside = [one for one in visits if -780 <= (one.started_at - NOON).total_seconds() / 60 < 660]
    expected = sorted(inside, key=lambda one: one.started_at, reverse=True)
    assert [row["visit_id"] for row in rows] == ids(expected)
    assert rows[-1]["started_at"] == "2026-11-22T23:00:00Z"
    assert {row["full_name"] for row in rows} == {"Ada, the first"}
    assert {row["seconds"] for row in rows} == {"90.0"}


async def test_csv_has_every_row_and_no_formula(http, databases, records, monkeypatch, prepared):
    camera = f"=cmd|' /C calc'!{unique('A')}"
    visits = [a_visit(camera, minutes=n, similarity=-0.25) for n in range(7)]
    await plant(databases, [*visits, still_there(a_visit(camera, minutes=9))])
    monkeypatch.setattr(visit_csv, "_PAGE", 3)
    key = await new_key(prepared, "read")
    async with running_app(prepared) as client:
        client.headers.update(bearer(key))
        rows = await csv_rows(client, camera_id=camera, limit=1)
        assert len(rows) == 8
        assert [row["visit_id"] for row in rows[1:]] == ids(visits[::-1])
        assert {row["camera_id"] for row in rows} == {f"'{camera}"}
        assert (rows[0]["ended_at"], rows[0]["state"]) == ("", "open")
        assert rows[1]["similarity"] == "-0.25"
        empty = await client.get(
            VISITS, params={"camera_id": unique("none")}, headers={"Accept": "text/csv"}
        )
        assert empty.text == ",".join(visit_csv.COLUMNS) + "\r\n"
        monkeypatch.setattr(visit_csv, "MOST_ROWS", 8)
        assert len(await csv_rows(client, camera_id=camera)) == 8
        monkeypatch.setattr(visit_csv, "MOST_ROWS", 7)
        answer = await client.get(
            VISITS, params={"camera_id": camera}, headers={"Accept": "text/csv"}
        )
        assert_problem(answer, 422, "too_many_rows")


async def test_a_period_that_ends_before_it_begins_is_refused_in_words(http):
    params = {"since": "2026-11-24T00:00:00Z", "until": "2026-11-23T00:00:00Z"}
    body = assert_problem(await http.get(VISITS, params=params), 422, "invalid_request")
    assert "since (2026-11-24T00:00:00+00:00) is after until" in body["detail"]


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0},
        {"cursor": "x"},
        {"user_id": "x"},
        {"unknown_id": "x"},
        {"known": "perhaps"},
        {"open": "half"},
        {"since": "yesterday"},
        {"until": "0001-01-01T00:00:00+14:00"},
        {"camera_id": "a\u0000b"},
    ],
    ids=str,
)
async def test_a_malformed_filter_is_refused(http, params):
    code = "invalid_cursor" if "cursor" in params else "invalid_request"
    assert_problem(await http.get(VISITS, params=params), 422, code)


async def test_a_stream_of_visits_needs_the_scope_to_read(gateway, prepared):
    async with httpx.AsyncClient(base_url=gateway.address) as client:
        assert_problem(await client.get(STREAM), 401, "key_missing")
        headers = bearer(await new_key(prepared, "enrol", "search"))
        assert_problem(await client.get(STREAM, headers=headers), 403, "scope_missing")


@asynccontextmanager
async def streaming(http, last: str | None = None, **params):
    """Events of the stream of visits, once it stands."""
    headers = {"last-event-id": last} if last else None
    async with http.stream("GET", STREAM, params=params, headers=headers) as answer:
        assert answer.status_code == 200
        events = events_of(answer)
        assert (await anext(events))[2] == ": listening"
        yield events


async def next_visits(events, count: int) -> list[tuple[str, dict]]:
    found = []
    async for name, identifier, data in events:
        if name == "visit":
            found.append((identifier, data))
        assert name in {"visit", "comment"}, name
        if len(found) == count:
            return found
    raise AssertionError("the stream ended")


async def announce(producer, topics, *visits: Visit) -> None:
    for visit in visits:
        await producer.send_and_wait(
            topics.visits, visit_to_json(visit), key=visit.camera_id.encode()
        )


async def test_visits_come_live_with_names_and_a_repeated_message_once(
    http, new_user, producer, topics, camera
):
    user = await new_user("Live Visitor")
    over = a_visit(camera, user)
    first = still_there(over)
    async with streaming(http, camera_id=camera) as events:
        await announce(producer, topics, first, a_visit(unique("other")), first, over)
        (identifier, started), (_, left) = await next_visits(events, 2)
    assert identifier.startswith(f"{first.visit_id}/1/")
    assert (started["state"], started["user"]["full_name"]) == ("open", "Live Visitor")
    assert (left["state"], left["reason"], left["seconds"]) == ("ended", "left", 90.0)

    later = a_visit(camera, minutes=5)
    await announce(producer, topics, later)
    async with streaming(http, identifier, camera_id=camera) as events:
        resumed = await next_visits(events, 2)
    assert ids([data for _, data in resumed]) == ids([over, later])


async def test_who_was_away_longer_gets_from_the_database_what_has_changed(
    http, databases, producer, topics, camera, new_user
):
    """The process has no memory of the last event, as after its restart."""
    user = await new_user("Back Again")
    old, missed = a_visit(camera), [a_visit(camera, user, minutes=-n) for n in range(3)]
    merged = a_visit(camera, reason="merged", faces=0)
    for visit in (old, *missed, merged):  # one after the other: announced in this order
        await plant(databases, [visit])
    async with databases.main.begin() as session:
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        changed = update(VisitRow).where(VisitRow.visit_id == old.visit_id)
        await session.execute(changed.values(changed_at=long_ago))
    last = Position(Announcement(uuid4(), 1), datetime.now(UTC) - timedelta(seconds=30)).encode()
    async with streaming(http, last, camera_id=camera) as events:
        resumed = await next_visits(events, 4)
        # What comes live, and was among the missed, is not sent again.
        newer = still_there(a_visit(camera, minutes=9))
        await announce(producer, topics, missed[2], newer)
        ((_, live),) = await next_visits(events, 1)
    assert ids([data for _, data in resumed]) == ids([*missed, merged])
    assert live["visit_id"] == str(newer.visit_id)
    async with streaming(http, resumed[-1][0], user_id=user) as events:
        assert ids([data for _, data in await next_visits(events, 3)]) == ids(missed)


async def test_an_update_of_counts_is_no_announcement_and_a_revision_is(databases, camera):
    visit = still_there(a_visit(camera))
    await plant(databases, [visit])

    async def change(**fields) -> datetime:
        this = VisitRow.visit_id == visit.visit_id
        async with databases.main.begin() as session:
            await session.execute(update(VisitRow).where(this).values(**fields))
        async with databases.main() as session:
            row = await session.get_one(VisitRow, visit.visit_id)
            return row.changed_at

    first = await change(faces=8)
    assert await change(faces=9) == first
    assert await change(revision=2) > first


@pytest.mark.parametrize(
    "last", ["nonsense", f"{UUID(int=1)}/1", f"{UUID(int=2)}/1/99999999999999999999"]
)
async def test_an_unknown_last_event_is_a_gap(http, last):
    async with streaming(http, last, camera_id=unique("idle")) as events:
        async for name, _, data in events:
            if name == "gap":
                assert data == {"lost": None}
                return
            assert name == "comment"


async def test_an_erased_user_is_not_in_visits(http, databases, new_user, camera):
    user = await new_user("Erased")
    await plant(databases, [a_visit(camera, user), still_there(a_visit(camera, user))])
    assert (await http.delete(f"/api/v1/users/{user}")).status_code == 204
    assert {one["user_id"] for one in await listed(http, camera_id=camera)} == {None}
    assert await listed(http, user_id=user) == []
    rows = await csv_rows(http, camera_id=camera)
    assert {(row["user_id"], row["full_name"], row["email"]) for row in rows} == {("", "", "")}


async def test_a_stream_that_begins_again_does_not_name_who_was_erased(
    http, producer, topics, new_user, camera
):
    user = await new_user("Erased from memory")
    first, theirs, last = (
        a_visit(camera, who, minutes=n) for n, who in enumerate((None, user, None))
    )
    async with streaming(http, camera_id=camera) as events:
        await announce(producer, topics, first, theirs)
        (identifier, _), _ = await next_visits(events, 2)
    assert (await http.delete(f"/api/v1/users/{user}")).status_code == 204
    async with streaming(http, identifier, camera_id=camera) as events:
        await announce(producer, topics, last)
        ((_, visit),) = await next_visits(events, 1)
    assert visit["visit_id"] == str(last.visit_id)
