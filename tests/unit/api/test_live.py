"""Live matches reach every listener, and a slow one holds up nobody."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from api.live import GAP, KEPT, LiveMatches
from config.settings import ApiSettings, KafkaSettings
from streams.events import FaceMatch


def a_match(camera: str = "door", user: UUID | None = None) -> FaceMatch:
    return FaceMatch(
        face_id=uuid4(),
        event_id="1",
        camera_id=camera,
        captured_at=datetime.now(UTC),
        box=(0.0, 0.0, 1.0, 1.0),
        score=0.9,
        quality=0.9,
        user_id=user,
        similarity=0.5,
        runner_up_similarity=None,
        model="m",
        crop_key="crops/x",
    )


def live(**settings: object) -> LiveMatches:
    return LiveMatches(KafkaSettings(), ApiSettings(**settings))


async def waiting(listener) -> list:
    """What a listener has in his queue."""
    found = []
    async for event in listener.events(0.01):
        if event is None:
            return found
        found.append(event)
    return found


async def test_each_listener_gets_what_he_asked_for():
    hub = live()
    user = uuid4()
    matches = [a_match("a"), a_match("b", user), a_match("a", user)]
    with hub.listen() as all_, hub.listen(camera="a") as one_door, hub.listen(user=user) as one:
        hub._fan_out(matches)
        assert await waiting(all_) == matches
        assert await waiting(one_door) == [matches[0], matches[2]]
        assert await waiting(one) == matches[1:]


async def test_a_slow_listener_is_told_of_the_gap_and_holds_up_nobody():
    hub = live(stream_buffer=3)
    matches = [a_match() for _ in range(5)]
    with hub.listen() as slow:
        hub._fan_out(matches[:3])
        with hub.listen() as quick:
            hub._fan_out(matches[3:])
            assert await waiting(quick) == matches[3:]
        assert await waiting(slow) == [GAP, *matches[3:]]


async def test_who_comes_back_gets_what_he_missed_in_order():
    hub = live()
    matches = [a_match() for _ in range(4)]
    hub._fan_out(matches)
    with hub.listen(last=matches[1].face_id) as listener:
        assert await waiting(listener) == matches[2:]
    with hub.listen(last=matches[3].face_id) as listener:
        assert await waiting(listener) == []


async def test_what_is_no_longer_kept_is_a_gap():
    hub = live()
    first = a_match()
    hub._fan_out([first, *(a_match() for _ in range(KEPT))])
    with hub.listen(last=first.face_id) as listener:
        assert await waiting(listener) == [GAP]


async def test_a_match_that_is_told_twice_is_heard_once():
    hub = live()
    match = a_match()
    with hub.listen() as listener:
        hub._fan_out([match])
        hub._fan_out([match])
        assert await waiting(listener) == [match]


async def test_nothing_is_kept_of_who_was_erased():
    hub = live()
    user = uuid4()
    before, theirs, after = a_match(), a_match(user=user), a_match()
    hub._fan_out([before, theirs, after])
    hub.forget_user(user)
    with hub.listen(last=before.face_id) as listener:
        assert await waiting(listener) == [after]


async def test_places_are_limited_and_come_free():
    hub = live(stream_clients=1)
    assert not hub.full
    with hub.listen():
        assert hub.full
    assert not hub.full


async def test_streams_end_when_the_server_stops():
    hub = live()
    with hub.listen() as listener:
        hub.end_streams()
        assert [event async for event in listener.events(60.0)] == []
