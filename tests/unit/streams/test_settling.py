import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.failures import Fatal, Reject, Retry
from streams.settling import UNEXPECTED, RetryPolicy, Settlement
from tests.unit.streams.deliveries import delivery

POLICY = RetryPolicy(initial=0.0001, maximum=0.001, unexpected_attempts=2)


class Grave:
    """A dead letter office that is closed for its first visitors."""

    def __init__(self, closed_for=0):
        self.closed_for = closed_for
        self.letters = []

    async def send(self, message, reject, attempts):
        if self.closed_for:
            self.closed_for -= 1
            raise Retry("closed")
        self.letters.append((message.offset, reject.reason, attempts))


async def settle(handler, batch, grave, on_fatal=pytest.fail):
    async with asyncio.timeout(10):
        await Settlement(handler, grave, POLICY, on_fatal)(batch)


@given(
    fates=st.lists(
        st.sampled_from(["processed", "refused", "rejecting", "poisonous"]), min_size=1, max_size=6
    ),
    outages=st.integers(0, 4),
)
async def test_every_message_has_exactly_one_outcome(fates, outages):
    """Whatever is in a batch and however long the stores are away."""
    batch = [delivery(offset) for offset in range(len(fates))]
    processed = set()
    remaining = outages

    async def handler(messages):
        nonlocal remaining
        if remaining:
            remaining -= 1
            raise Retry("away")
        own = [(message, fates[message.offset]) for message in messages]
        if any(fate == "poisonous" for _, fate in own):
            raise ZeroDivisionError
        if any(fate == "rejecting" for _, fate in own):
            raise Reject("rejecting", "refused by a store")
        processed.update(message.offset for message, fate in own if fate == "processed")
        return {message: Reject("refused", "no") for message, fate in own if fate == "refused"}

    grave = Grave(closed_for=outages)
    await settle(handler, batch, grave)
    expected = {"refused": "refused", "rejecting": "rejecting", "poisonous": UNEXPECTED}
    assert {(offset, reason) for offset, reason, _ in grave.letters} == {
        (offset, expected[fate]) for offset, fate in enumerate(fates) if fate in expected
    }
    assert len(grave.letters) == len(fates) - fates.count("processed")
    assert processed == {offset for offset, fate in enumerate(fates) if fate == "processed"}


async def test_an_unexpected_failure_is_tried_again_before_it_is_buried():
    calls = 0

    async def handler(_messages):
        nonlocal calls
        calls += 1
        if calls < POLICY.unexpected_attempts:
            raise ZeroDivisionError
        return {}

    grave = Grave()
    await settle(handler, [delivery()], grave)
    assert (calls, grave.letters) == (POLICY.unexpected_attempts, [])


async def test_a_fatal_failure_stops_the_worker_and_settles_nothing():
    async def handler(_messages):
        raise Fatal("wrong key")

    failures = []
    grave = Grave()
    task = asyncio.create_task(Settlement(handler, grave, POLICY, failures.append)([delivery()]))
    _, waiting = await asyncio.wait([task], timeout=0.05)
    assert waiting
    assert [str(failure) for failure in failures] == ["wrong key"]
    assert grave.letters == []
    task.cancel()


@given(attempt=st.integers(1, 10_000), initial=st.floats(0.001, 10), maximum=st.floats(0.001, 60))
def test_pauses_are_bounded(attempt, initial, maximum):
    assert 0 <= RetryPolicy(initial, maximum).pause(attempt) <= maximum
