"""A user who was created without effect is erased, but not if others have used the user since."""

import asyncio
from uuid import uuid4

import numpy as np
import pytest

from domain.personal_data import Author
from domain.store_rows import EnrolStatus
from services.erasure import erase_unless_used
from sinks.stores import Stores
from tests.contract.builders import unique
from tests.stored_records import stored_user

BY_TEST = Author("test")
ADD = "INSERT INTO audit (actor, action, target) VALUES ('another', $1, $2)"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1"


@pytest.fixture
def stores(records, vectors, crops, recents):
    return Stores(records=records, vectors=vectors, crops=crops, recents=recents)


@pytest.fixture
async def person(records):
    """A new user with one uploaded photo: two entries in the audit trail."""
    user = await stored_user(records, f"{uuid4().hex}@example.com")
    await note(records, user.id, "user.create", "face.enrol")
    return user


async def note(records, user_id, *actions):
    async with records._connection("test") as connection:
        for action in actions:
            await connection.execute(ADD, action, f"user:{user_id}")


async def test_an_unused_user_is_erased_and_cannot_be_enrolled(stores, person):
    assert await erase_unless_used(stores, person.id, BY_TEST, 2)
    assert await stores.records.user(person.id) is None
    model = unique("untouched")
    await stores.vectors.ensure_model(model, 2)
    late = await stores.vectors.enrol(
        face_id=uuid4(),
        user_id=person.id,
        model=model,
        embedding=np.array([1.0, 0.0], "<f4"),
        captured_at=person.created_at,
    )
    assert late.status is EnrolStatus.ERASED
    assert not await erase_unless_used(stores, person.id, BY_TEST, 2)


@pytest.mark.parametrize("action", ["face.enrol", "user.update"])
async def test_a_user_that_others_have_used_stays(stores, person, action):
    """Even if there is no result yet: a photo may be in work."""
    await note(stores.records, person.id, action)
    assert not await erase_unless_used(stores, person.id, BY_TEST, 2)
    assert await stores.records.user(person.id) == person


async def test_changes_that_are_committed_during_the_decision_count(stores, person):
    records = stores.records
    async with records._connection("test") as other, asyncio.timeout(20):
        async with other.transaction():
            await other.execute("SELECT id FROM users WHERE id = $1 FOR KEY SHARE", person.id)
            await other.execute(ADD, "face.enrol", f"user:{person.id}")
            erasing = asyncio.create_task(erase_unless_used(stores, person.id, BY_TEST, 2))
            await until_waiting(records)
        assert not await erasing
    assert await records.user(person.id) == person


async def until_waiting(records):
    waiting = 0
    while not waiting:
        # Within one transaction the view does not change.
        async with records._connection("test") as connection:
            waiting = await connection.fetchval(WAITING, "SELECT id FROM users%FOR UPDATE")
