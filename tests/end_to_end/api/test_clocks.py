"""A camera with a wrong clock hides no match of other cameras."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.end_to_end import photos
from tests.end_to_end.api.cameras import send_frames
from tests.end_to_end.api.conftest import MATCHES, USERS, until

CAMERAS = "/api/v1/cameras"


@pytest.mark.parametrize(
    ("time", "ahead"),
    [
        ("2031-01-01t00:00:00.123456789z", True),
        ("9999-12-31T23:59:59Z", True),
        ("1970-01-01T00:00:00+14:00", False),
    ],
)
async def test_field_04_times_of_a_wrong_clock_decide_on_nothing(
    http, new_user, enrol, producer, topics, recents, time, ahead
):
    run = uuid4().hex[:6]
    wrong, right = f"wrong-{run}", f"right-{run}"
    user = await new_user("Seen by both")
    assert (await enrol(user, photos.astronaut())).status_code == 201
    before = datetime.now(UTC)
    await send_frames(producer, topics, wrong, [photos.astronaut()] * 3, time=time)

    async def listed(camera, count):
        page = (await http.get(MATCHES, params={"camera_id": camera})).json()["items"]
        return page if len(page) == count else None

    async def its_row():
        rows = (await http.get(CAMERAS)).json()["items"]
        return next((one for one in rows if one["camera_id"] == wrong), None)

    theirs = await until(lambda: listed(wrong, 3))
    row = await its_row()
    assert row["frames_per_second"] > 0
    assert (row["clock_ahead_seconds"] > 1e8) is ahead
    assert (row["clock_ahead_seconds"] < -1e8) is not ahead
    assert near(row["last_frame_at"], before)
    for match in theirs:
        assert match["captured_at"][:3] == {"2": "203", "9": "999", "1": "196"}[time[0]]
        assert near(match["seen_at"], before)

    await send_frames(producer, topics, right, [photos.astronaut()])
    (last,) = await until(lambda: listed(right, 1))
    assert last["seen_at"] == last["captured_at"]
    # Other tests of the session leave matches of other cameras, from any time.
    listing = (await http.get(MATCHES, params={"limit": 200})).json()["items"]
    order = [one["camera_id"] for one in listing if one["camera_id"] in {right, wrong}]
    assert order == [right, wrong, wrong, wrong]
    since = {"since": before.isoformat(), "until": "2030-01-01T00:00:00Z", "camera_id": wrong}
    assert len((await http.get(MATCHES, params=since)).json()["items"]) == 3

    pages, cursor = [], None
    for _ in range(4):
        page = await http.get(MATCHES, params={"limit": 1} | ({"cursor": cursor} if cursor else {}))
        pages += page.json()["items"]
        cursor = page.json()["next_cursor"]
    assert pages == listing[:4]

    remembered = [one.camera_id for one in await recents.recent(1000)]
    assert [one for one in remembered if one in {right, wrong}] == order
    seen = (await http.get(f"{USERS}/{user}")).json()
    if seen["last_seen_at"] is not None:
        assert near(seen["last_seen_at"], before)
    assert (
        next(one for one in (await http.get(CAMERAS)).json()["items"] if one["camera_id"] == right)[
            "clock_ahead_seconds"
        ]
        is None
    )


def near(text, moment):
    return abs(datetime.fromisoformat(text) - moment) < timedelta(minutes=3)
