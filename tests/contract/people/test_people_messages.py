"""What was noted about people is announced once it is committed: in order, and never lost."""

import asyncio
from uuid import uuid4

import pytest

from agents.people.people_sender import PeopleSender
from domain.events import utc_now
from domain.failures import Retry
from domain.people.people_changes import PeopleChange, PeopleChangeType
from domain.personal_data import DataSubject
from sinks.main.database_sessions import Databases
from sinks.main.people.people_messages import PeopleMessages, note_changes
from sinks.main.people.people_schema import PeopleMessageRow
from streams.contract.people_codec import change_from_json
from streams.contract.topics import Topics
from tests.contract.builders import unique
from tests.stored_records import stored_user


class Broker:
    def __init__(self):
        self.sent = []
        self.fails = False

    async def send_all(self, messages):
        if self.fails:
            raise Retry("the broker did not answer")
        self.sent += [change_from_json(one.value) for one in messages]


@pytest.fixture
async def messages(prepared):
    async with PeopleMessages(prepared.main_db) as store:
        async with store._connection("test") as connection:
            await connection.execute("DELETE FROM people_messages")
        yield store


def a_change(**fields):
    own = {"change_id": uuid4(), "type": PeopleChangeType.UNKNOWN_CREATED, "at": utc_now()}
    return PeopleChange(**own | fields)


async def note(store, *changes, fails=False):
    async with store._connection("test") as connection, connection.transaction():
        await note_changes(connection, changes)
        if fails:
            raise ValueError("the change is not made")


async def test_changes_are_sent_in_order_and_then_deleted(messages):
    broker = Broker()
    sender = PeopleSender(messages, broker, Topics())
    changes = [a_change(unknown_id=uuid4(), face_ids=(uuid4(),)) for _ in range(5)]
    await note(messages, *changes[:3])
    await note(messages, *changes[3:], changes[0])  # of one name the first counts
    assert await sender.send() == 5
    assert broker.sent == changes
    assert await sender.send() == 0


async def test_what_was_not_made_is_not_announced(messages):
    broker = Broker()
    with pytest.raises(ValueError, match="not made"):
        await note(messages, a_change(), fails=True)
    assert await PeopleSender(messages, broker, Topics()).send() == 0


async def test_what_the_broker_does_not_take_is_sent_again(messages):
    broker = Broker()
    sender = PeopleSender(messages, broker, Topics())
    change = a_change()
    await note(messages, change)
    broker.fails = True
    with pytest.raises(Retry):
        await sender.send()
    broker.fails = False
    assert await sender.send() == 1
    assert broker.sent == [change]


async def test_one_process_sends_at_a_time(messages, prepared):
    await note(messages, a_change())
    async with PeopleMessages(prepared.main_db) as other, messages.unsent(9) as held:
        assert len(held) == 1
        async with other.unsent(9) as found:
            assert found == []


async def test_a_session_notes_a_change_as_well(messages, prepared):
    broker, change = Broker(), a_change(user_id=uuid4(), visit_ids=(uuid4(),))
    async with Databases(prepared) as databases, databases.main.begin() as session:
        session.add(PeopleMessageRow.of(change))
    await PeopleSender(messages, broker, Topics()).send()
    assert broker.sent == [change]


async def test_an_erased_user_is_not_named(messages, records):
    user = await stored_user(records, f"{unique('u')}@example.org")
    broker, other = Broker(), a_change(user_id=uuid4())
    await note(messages, a_change(user_id=uuid4(), other_user_id=user.id), other)
    found = await records.traces(DataSubject(user.id))
    assert found.counts["messages about people"] == 1
    await records.erase(DataSubject(user.id))
    await PeopleSender(messages, broker, Topics()).send()
    assert broker.sent == [other]


async def test_an_erasure_waits_for_a_message_that_is_being_sent(messages, records):
    user = await stored_user(records, f"{unique('u')}@example.org")
    await note(messages, a_change(user_id=user.id))
    async with messages.unsent(9) as held:
        erasing = asyncio.create_task(records.erase(DataSubject(user.id)))
        done, _ = await asyncio.wait([erasing], timeout=0.3)
        assert not done
        assert len(held) == 1
    await erasing
    async with messages.unsent(9) as held:
        assert held == []
