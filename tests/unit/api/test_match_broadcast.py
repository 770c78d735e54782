"""Live matches reach every listener, and a slow listener does not delay the others."""

import itertools
import json
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from msgspec import structs

from api.live.listener import Gap
from api.live.match_broadcast import LiveMatches, frame_match
from api.live.topic_broadcast import KEPT
from config.settings import ApiSettings, KafkaSettings
from domain.events import FaceMatch
from streams.contract.value_codec import match_to_json


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


async def test_a_slow_listener_is_informed_of_the_gap_and_delays_no_others():
    hub = live(stream_buffer=3)
    matches = [a_match() for _ in range(5)]
    with hub.listen() as slow:
        hub._fan_out(matches[:3])
        with hub.listen() as quick:
            hub._fan_out(matches[3:])
            assert await waiting(quick) == matches[3:]
        assert await waiting(slow) == [Gap(2), *matches[2:]]


async def test_field_13_a_slow_listener_loses_the_oldest_alone():
    hub = live(stream_buffer=3)
    matches = [a_match() for _ in range(10)]
    with hub.listen() as slow:
        for match in matches:
            hub._fan_out([match])
        assert await waiting(slow) == [Gap(7), *matches[7:]]
        hub._fan_out(matches := [a_match() for _ in range(4)])
        assert await waiting(slow) == [Gap(1), *matches[1:]]


async def test_field_13_what_was_not_asked_for_is_neither_kept_nor_counted():
    hub = live(stream_buffer=2)
    matches = [a_match("a") for _ in range(3)]
    with hub.listen(camera="a") as slow:
        hub._fan_out([matches[0], *(a_match("b") for _ in range(9)), *matches[1:]])
        assert await waiting(slow) == [Gap(1), *matches[1:]]


async def test_field_13_gaps_stay_in_their_places_and_are_counted_together():
    hub = live(stream_buffer=2)
    first, second, third, fourth = (a_match() for _ in range(4))
    with hub.listen() as slow:
        hub._fan_out([first, second])
        slow.miss()  # an outage: how many came then is not known
        slow.miss()
        hub._fan_out([third])
        assert await waiting(slow) == [Gap(1), second, Gap(None), third]
    with hub.listen() as slow:
        hub._fan_out([a_match(), a_match()])
        slow.miss()
        hub._fan_out([a_match(), fourth, last := a_match()])
        assert await waiting(slow) == [Gap(None), fourth, last]


async def test_field_13_a_queue_never_grows_past_its_bound():
    hub = live(stream_buffer=5)
    with hub.listen() as slow:
        for _ in range(50):
            hub._fan_out([a_match()])
            slow.miss()
            assert len(slow._waiting) <= 2 * 5 + 1
        events = await waiting(slow)
    assert sum(not isinstance(event, Gap) for event in events) == 5
    pairs = itertools.pairwise(events)
    assert not any(isinstance(a, Gap) and isinstance(b, Gap) for a, b in pairs)


@pytest.mark.parametrize(
    ("kind", "crop", "streamed"),
    [
        ("frame", "crops/x", True),
        ("frame", None, True),
        ("search", None, False),
        ("search", "crops/x", False),
        (None, "crops/x", True),
        (None, None, False),
        ("of a later release", "crops/x", False),
    ],
)
@pytest.mark.parametrize("user", [None, uuid4()], ids=["unknown", "known"])
def test_field_17_a_search_is_recognised_by_its_kind(kind, crop, streamed, user):
    match = structs.replace(a_match(user=user), kind=kind, crop_key=crop)
    assert (frame_match(match_to_json(match)) is not None) is streamed


def test_field_17_messages_of_earlier_releases_areframe_match():
    match = a_match()
    fields = json.loads(match_to_json(match))
    del fields["kind"]
    assert frame_match(json.dumps(fields).encode()) == match


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
        assert await waiting(listener) == [Gap(None)]


async def test_a_match_that_is_announced_twice_is_sent_once():
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


async def test_streams_end_when_the_server_stops():
    hub = live()
    with hub.listen() as listener:
        hub.end_streams()
        assert [event async for event in listener.events(60.0)] == []
