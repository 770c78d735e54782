"""Announcements of visits: which ones a stream gets, and where it begins again."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from api.live.listener import Gap
from api.live.visit_broadcast import (
    AnnouncedVisit,
    Announcement,
    LiveVisits,
    Position,
    VisitSelection,
)
from config.settings import ApiSettings, KafkaSettings
from domain.visit_events import Visit, VisitState
from streams.contract.visit_codec import visit_to_json

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def a_visit(camera: str = "door", user: UUID | None = None, revision: int = 1) -> Visit:
    return Visit(
        visit_id=uuid4(),
        camera_id=camera,
        revision=revision,
        state=VisitState.OPEN,
        user_id=user,
        started_at=NOON,
        last_seen_at=NOON + timedelta(seconds=2),
        faces=3,
    )


def ended(visit: Visit) -> Visit:
    return structs.replace(
        visit, revision=visit.revision + 1, state=VisitState.ENDED, ended_at=visit.last_seen_at
    )


def announced(*visits: Visit) -> list[AnnouncedVisit]:
    return [AnnouncedVisit(visit, NOON) for visit in visits]


def live(**settings: object) -> LiveVisits:
    return LiveVisits(KafkaSettings(), ApiSettings(**settings))


def chosen(selection: VisitSelection, *visits: Visit) -> list[Visit]:
    return [event.visit for event in announced(*visits) if selection(event)]


async def waiting(listener) -> list:
    found = []
    async for event in listener.events(0.01):
        if event is None:
            return found
        found.append(event if isinstance(event, Gap) else event.visit)
    return found


def test_a_stream_chooses_by_camera_and_user():
    user = uuid4()
    first, second, third = a_visit("a"), a_visit("b", user), a_visit("a", user)
    assert chosen(VisitSelection(), first, second, third) == [first, second, third]
    assert chosen(VisitSelection(camera="a"), first, second, third) == [first, third]
    assert chosen(VisitSelection(user=user), first, second, third) == [second, third]
    assert chosen(VisitSelection("a", user), first, second, third) == [third]


def test_a_visit_that_turns_out_to_be_another_persons_comes_once_more():
    user, other = uuid4(), uuid4()
    theirs = a_visit(user=user)
    changed = structs.replace(theirs, user_id=other, revision=2)
    later = structs.replace(changed, revision=3)
    assert chosen(VisitSelection(user=user), theirs, changed, later) == [theirs, changed]
    assert chosen(VisitSelection(user=other), theirs, changed, later) == [changed, later]


def test_a_visit_that_has_ended_as_the_users_and_goes_on_as_another_persons_comes_once_more():
    user = uuid4()
    theirs = a_visit(user=user)
    over = ended(theirs)
    back = structs.replace(over, user_id=None, state=VisitState.OPEN, ended_at=None, revision=3)
    assert chosen(VisitSelection(user=user), theirs, over, back) == [theirs, over, back]


@given(
    st.uuids(),
    st.integers(1, 10**6),
    st.integers(1, 10**11).map(lambda tenths: EPOCH + timedelta(seconds=tenths / 10)),
)
def test_a_position_is_read_as_it_was_written(visit_id, revision, sent_at):
    position = Position(Announcement(visit_id, revision), sent_at)
    read = Position.decode(position.encode())
    assert read is not None
    assert read.announcement == position.announcement
    assert abs(read.sent_at - sent_at) < timedelta(milliseconds=1.001)


@given(st.one_of(st.text(), st.from_regex(rf"{uuid4()}/[0-9-]{{1,30}}/[0-9-]{{1,30}}")))
def test_what_is_no_position_is_none(text):
    read = Position.decode(text)
    assert read is None or Position.decode(read.encode()) == read


async def test_who_comes_back_gets_what_was_missed():
    hub = live()
    visits = [a_visit() for _ in range(3)]
    hub._fan_out(announced(*visits))
    last = Announcement(visits[0].visit_id, 1)
    assert hub.remembers(last)
    assert not hub.remembers(Announcement(visits[0].visit_id, 2))
    with hub.hear(VisitSelection(), last) as listener:
        assert await waiting(listener) == visits[1:]


async def test_an_announcement_that_is_repeated_is_sent_once_and_its_revisions_are_not_one():
    hub = live()
    visit = a_visit()
    with hub.hear(VisitSelection()) as listener:
        hub._fan_out(announced(visit))
        hub._fan_out(announced(visit, ended(visit)))
        assert await waiting(listener) == [visit, ended(visit)]


async def test_nothing_is_kept_of_who_was_erased():
    hub, user = live(), uuid4()
    before, theirs, after = a_visit(), a_visit(user=user), a_visit()
    hub._fan_out(announced(before, theirs, after))
    hub.forget_user(user)
    with hub.hear(VisitSelection(), Announcement(before.visit_id, 1)) as listener:
        assert await waiting(listener) == [after]


@pytest.mark.parametrize("timestamp", [None, -1, 0, 1_795_000_000_123])
def test_a_message_is_read_with_the_time_at_which_it_was_sent(timestamp):
    visit = a_visit(user=uuid4())
    record = SimpleNamespace(value=visit_to_json(visit), timestamp=timestamp)
    event = live()._decode(record)
    assert event is not None
    assert event.visit == visit
    known = timestamp is not None and timestamp > 0
    expected = datetime.fromtimestamp(timestamp / 1000, UTC) if known else datetime.now(UTC)
    assert abs(event.sent_at - expected) < timedelta(seconds=60)


def test_what_is_no_visit_is_skipped(caplog):
    good = SimpleNamespace(value=visit_to_json(a_visit()), timestamp=1)
    naive = visit_to_json(structs.replace(a_visit(), last_seen_at=NOON.replace(tzinfo=None)))
    values = (None, b"", b"{}", b"\xff", b'{"visit_id": "\xff"}', naive)
    bad = [SimpleNamespace(value=value, timestamp=1) for value in values]
    assert len(list(live()._readable([*bad, good]))) == 1
    assert len(caplog.records) == len(bad)
    with pytest.raises(msgspec.DecodeError):
        live()._decode(bad[0])
