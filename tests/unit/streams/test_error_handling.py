import asyncio
from operator import gt
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.failures import Denied, Fatal, GivenUp, Reject, Retry
from streams.dead_letters.dead_letter_limit import DeadLetterLimit, DeadLetterLimitPolicy
from streams.dead_letters.dead_letter_routing import UNEXPECTED
from streams.processing.error_handling import GuardedHandler
from streams.processing.retry_policy import RetryPolicy
from tests.unit.streams.messages import delivery

POLICY = RetryPolicy(initial=0.0001, maximum=0.001, unexpected_attempts=2, denied_patience=0.05)
NO_LIMIT = DeadLetterLimitPolicy(share=1.0, window=10, least=1)


class RunningBatch:
    """Remembers what a batch tells its window."""

    def __init__(self):
        self.finished = []
        self.aside = False
        self.beats = 0

    def beat(self):
        self.beats += 1

    def done(self, message):
        self.finished.append(message.offset)

    def release_slot(self):
        self.aside = True


class DeadLetterStore:
    """Stores dead letters; the first calls fail."""

    def __init__(self, closed_for=0):
        self.closed_for = closed_for
        self.sent = []

    async def send(self, message, reject, attempts):
        if self.closed_for:
            self.closed_for -= 1
            raise Retry("closed")
        self.sent.append((message.offset, reject.reason, attempts))


def guarded(handler, store, on_fatal=pytest.fail, limit=NO_LIMIT):
    return GuardedHandler(handler, store, POLICY, DeadLetterLimit(limit), on_fatal)


async def process(handler, batch, store):
    running = RunningBatch()
    async with asyncio.timeout(10):
        await guarded(handler, store)(batch, running)
    return running


@given(
    fates=st.lists(
        st.sampled_from(["processed", "refused", "rejecting", "poisonous", "late", "denied"]),
        min_size=1,
        max_size=6,
    ),
    outages=st.integers(0, 4),
)
async def test_every_message_has_exactly_one_outcome(fates, outages):
    """For any messages in a batch, and any number of outages of the stores."""
    batch = [delivery(offset) for offset in range(len(fates))]
    processed = []
    remaining = outages
    late = {message.offset: 2 for message in batch if fates[message.offset] == "late"}

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
        outcomes = {}
        for message, fate in own:
            if fate == "refused":
                outcomes[message] = Reject("refused", "no")
            elif fate == "denied":
                outcomes[message] = Denied("no")
            elif fate == "late" and late[message.offset]:
                late[message.offset] -= 1
                outcomes[message] = Retry("not yet")
            else:
                processed.append(message.offset)
        return outcomes

    store = DeadLetterStore(closed_for=outages)
    running = await process(handler, batch, store)
    expected = {
        "refused": "refused",
        "rejecting": "rejecting",
        "poisonous": UNEXPECTED,
        "denied": "access_denied",
    }
    assert {(offset, reason) for offset, reason, _ in store.sent} == {
        (offset, expected[fate]) for offset, fate in enumerate(fates) if fate in expected
    }
    good = [offset for offset, fate in enumerate(fates) if fate in {"processed", "late"}]
    assert len(store.sent) == len(fates) - len(good)
    assert sorted(processed) == good
    assert sorted(running.finished) == list(range(len(fates)))


async def test_an_unexpected_failure_is_retried_before_it_is_a_dead_letter():
    calls = 0

    async def handler(_messages):
        nonlocal calls
        calls += 1
        if calls < POLICY.unexpected_attempts:
            raise ZeroDivisionError
        return {}

    store = DeadLetterStore()
    await process(handler, [delivery()], store)
    assert (calls, store.sent) == (POLICY.unexpected_attempts, [])


async def test_a_fatal_failure_stops_the_worker_without_outcomes():
    async def handler(_messages):
        raise Fatal("wrong key")

    failures = []
    store = DeadLetterStore()
    running = RunningBatch()
    task = asyncio.create_task(guarded(handler, store, failures.append)([delivery()], running))
    _, waiting = await asyncio.wait([task], timeout=0.05)
    assert waiting
    assert [str(failure) for failure in failures] == ["wrong key"]
    assert (store.sent, running.finished) == ([], [])
    task.cancel()


@given(attempt=st.integers(1, 10_000), initial=st.floats(0.001, 10), maximum=st.floats(0.001, 60))
def test_pauses_are_bounded(attempt, initial, maximum):
    assert 0 <= RetryPolicy(initial, maximum).pause(attempt) <= maximum


async def test_what_waits_for_its_store_holds_up_neither_its_batch_nor_the_next():
    """A claim check whose store is unavailable, among frames that were sent in their messages."""
    store_is_back = asyncio.Event()
    calls = []

    async def handler(messages):
        calls.append([message.offset for message in messages])
        if store_is_back.is_set():
            return {}
        return {message: Retry("away") for message in messages if message.offset == 1}

    running = RunningBatch()
    task = asyncio.create_task(
        guarded(handler, DeadLetterStore())([delivery(0), delivery(1), delivery(2)], running)
    )
    async with asyncio.timeout(5):
        while len(calls) < 3:  # noqa: ASYNC110 - the state must be polled
            await asyncio.sleep(0)
        assert (running.finished, running.aside) == ([0, 2], True)
        store_is_back.set()
        await task
    assert calls[:2] == [[0, 1, 2], [1]]
    assert running.finished == [0, 2, 1]


async def test_a_denial_is_no_dead_letter_before_patience_is_over():
    answers = [Denied("policy"), Denied("policy"), None]

    async def handler(messages):
        answer = answers.pop(0)
        return {messages[0]: answer} if answer else {}

    store = DeadLetterStore()
    running = await process(handler, [delivery()], store)
    assert (store.sent, running.finished) == ([], [0])


async def test_patience_with_a_denial_begins_with_the_denial_and_not_with_the_outage_before():
    """A store that comes back may deny for a moment, until it knows its users again."""
    began = monotonic()
    denials = 2

    async def handler(messages):
        nonlocal denials
        if monotonic() - began < 2 * POLICY.denied_patience:
            return {messages[0]: Retry("away")}
        denials -= 1
        return {messages[0]: Denied("who are you?")} if denials >= 0 else {}

    store = DeadLetterStore()
    running = await process(handler, [delivery()], store)
    assert (store.sent, running.finished) == ([], [0])


async def test_an_outage_is_no_dead_letter_however_long_it_lasts():
    assert POLICY.refusal_after(Retry("away"), 1e9) is None
    assert POLICY.refusal_after(Denied("no"), 1e9).reason == "access_denied"


async def test_above_the_limit_there_are_no_dead_letters_and_the_worker_ends():
    async def handler(messages):
        return {message: Reject("corrupt", "no image") for message in messages}

    store, running, failures = DeadLetterStore(), RunningBatch(), []
    limit = DeadLetterLimitPolicy(share=0.5, window=10, least=4)
    batch = [delivery(offset) for offset in range(8)]
    task = asyncio.create_task(guarded(handler, store, failures.append, limit)(batch, running))
    async with asyncio.timeout(5):
        while not failures:  # noqa: ASYNC110 - the state must be polled
            await asyncio.sleep(0)
    assert [offset for offset, _, _ in store.sent] == running.finished == [0, 1, 2]
    (failure,) = failures
    assert "FECAPASS_WORKERS__DEAD_LETTER_SHARE" in str(failure)
    assert not task.done()
    task.cancel()


async def test_refused_uploads_of_many_keys_do_not_end_a_worker_whose_cameras_are_fine():
    async def handler(messages):
        return {message: Reject("corrupt", "no image") for message in messages}

    limit = DeadLetterLimit(DeadLetterLimitPolicy(share=0.5, window=100, least=4))
    for number in range(10):
        limit.note(delivery(number), is_dead_letter=False)
    store, running = DeadLetterStore(), RunningBatch()
    uploads = GuardedHandler(handler, store, POLICY, limit, pytest.fail, as_one_key=True)
    async with asyncio.timeout(5):
        await uploads(
            [delivery(n, topic="photo.uploads", key=b"%d" % n) for n in range(8)], running
        )
    assert len(store.sent) == 8


async def test_every_attempt_is_a_sign_of_life():
    outages = 5

    async def handler(_messages):
        nonlocal outages
        outages -= 1
        if outages:
            raise Retry("away")
        return {}

    assert (await process(handler, [delivery()], DeadLetterStore())).beats >= 4


async def test_who_waits_for_a_turn_is_alive_while_the_turns_go_on_and_not_when_one_hangs():
    """Each turn may take a store's timeout, and many claim checks may wait for theirs."""
    turns = asyncio.Queue()
    whole = set()

    async def handler(messages):
        (message,) = messages
        if message not in whole:
            whole.add(message)
        else:
            await turns.get()
        return {message: Retry("away")}

    handle, running = guarded(handler, DeadLetterStore()), [RunningBatch() for _ in range(8)]
    tasks = [
        asyncio.create_task(handle([delivery(offset)], running))
        for offset, running in enumerate(running)
    ]
    await asyncio.sleep(0.05)  # all but the first in turn wait by now
    before = [running.beats for running in running]
    await asyncio.sleep(0.05)
    assert [running.beats for running in running] == before
    turns.put_nowait(None)
    async with asyncio.timeout(5):
        while not all(map(gt, [one.beats for one in running], before)):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_that_waits_does_not_hold_up_the_rest_of_a_batch_that_is_tried_one_by_one():
    store_is_back = asyncio.Event()
    at_once = most_at_once = 0

    async def handler(messages):
        nonlocal at_once, most_at_once
        at_once += 1
        most_at_once = max(most_at_once, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        if any(message.offset == 1 for message in messages):
            raise ZeroDivisionError
        away = not store_is_back.is_set()
        return {one: Retry("away") for one in messages if one.offset == 0 and away}

    store, running = DeadLetterStore(), RunningBatch()
    task = asyncio.create_task(
        guarded(handler, store)([delivery(offset) for offset in range(4)], running)
    )
    async with asyncio.timeout(5):
        while len(running.finished) < 3:  # noqa: ASYNC110 - the state must be polled
            await asyncio.sleep(0)
        assert (sorted(running.finished), most_at_once) == ([1, 2, 3], 1)
        store_is_back.set()
        await task
    assert [offset for offset, *_ in store.sent] == [1]


class Caller:
    """Waits for what becomes of an upload; cannot be reached for the first calls."""

    def __init__(self, store, failures=()):
        self._store = store
        self._failures = list(failures)
        self.notified = []

    async def __call__(self, message, reject):
        assert message.offset in [offset for offset, *_ in self._store.sent]
        if self._failures:
            raise self._failures.pop(0)
        self.notified.append((message.offset, reject.reason, isinstance(reject, GivenUp)))


async def process_and_notify(handler, batch, store, caller):
    running = RunningBatch()
    limit = DeadLetterLimit(NO_LIMIT)
    handle = GuardedHandler(handler, store, POLICY, limit, pytest.fail, notify_caller=caller)
    async with asyncio.timeout(10):
        await handle(batch, running)
    return running


async def test_callers_are_notified_of_every_dead_letter_and_of_failures():
    """After the dead letter is durable, and with retries until it succeeds."""

    async def handler(messages):
        if any(message.offset == 1 for message in messages):
            raise ZeroDivisionError
        fates = {0: Reject("corrupt", "no image"), 2: Denied("no")}
        return {one: fates[one.offset] for one in messages if one.offset in fates}

    store = DeadLetterStore()
    caller = Caller(store, [Retry("away"), Retry("away")])
    running = await process_and_notify(handler, [delivery(n) for n in range(4)], store, caller)
    assert sorted(caller.notified) == [
        (0, "corrupt", False),
        (1, UNEXPECTED, True),
        (2, "access_denied", True),
    ]
    assert sorted(running.finished) == [0, 1, 2, 3]


async def test_callers_are_notified_one_at_a_time():
    """Also of a batch that is tried one by one: each telling holds connections of a store."""
    telling, most = 0, 0

    async def handler(_messages):
        raise ZeroDivisionError

    async def caller(_message, _reject):
        nonlocal telling, most
        telling += 1
        most = max(most, telling)
        await asyncio.sleep(0)
        telling -= 1

    batch = [delivery(n) for n in range(8)]
    running = await process_and_notify(handler, batch, DeadLetterStore(), caller)
    assert (len(running.finished), most) == (8, 1)


async def test_a_caller_that_cannot_be_notified_delays_nothing(caplog):
    async def handler(messages):
        return {message: Reject("corrupt", "no image") for message in messages}

    store = DeadLetterStore()
    caller = Caller(store, [Reject("store_rejected", "no such text"), ZeroDivisionError("our own")])
    running = await process_and_notify(handler, [delivery(n) for n in range(3)], store, caller)
    assert running.finished == [0, 1, 2]
    assert caller.notified == [(2, "corrupt", False)]
    assert caplog.text.count("cannot be notified") == 2


@pytest.mark.parametrize(
    "error", [Reject("too_large", "of 10 bytes"), ZeroDivisionError("our own")]
)
async def test_a_burial_that_fails_for_good_ends_the_worker_with_the_message_named(error):
    async def handler(messages):
        return {message: Reject("corrupt", "no image") for message in messages}

    class Walled:
        async def send(self, *_letter):
            raise error

    failures, running = [], RunningBatch()
    task = asyncio.create_task(guarded(handler, Walled(), failures.append)([delivery(7)], running))
    _, waiting = await asyncio.wait([task], timeout=0.05)
    assert waiting
    (failure,) = failures
    assert delivery(7).address in str(failure)
    assert "corrupt: no image" in str(failure)
    assert str(error) in str(failure)
    assert running.finished == []
    task.cancel()


@pytest.mark.parametrize("where", ["dead letter", "caller"])
async def test_a_fatal_failure_of_a_dead_letter_or_its_caller_ends_the_worker(where):
    failures, fatal = [], Fatal("no permission to write")

    async def handler(messages):
        return {message: Reject("corrupt", "no image") for message in messages}

    class Forbidden(DeadLetterStore):
        async def send(self, *dead_letter):
            if where == "dead letter":
                raise fatal
            await super().send(*dead_letter)

    async def notify_caller(_message, _reject):
        raise fatal

    running = RunningBatch()
    limit = DeadLetterLimit(NO_LIMIT)
    handling = GuardedHandler(
        handler, Forbidden(), POLICY, limit, failures.append, notify_caller=notify_caller
    )
    task = asyncio.create_task(handling([delivery(7)], running))
    _, waiting = await asyncio.wait([task], timeout=0.05)
    assert waiting
    assert failures == [fatal]
    assert running.finished == []
    task.cancel()


@pytest.mark.parametrize("outages", [0, 1, 4, 9])
@pytest.mark.parametrize("as_outcome", [False, True])
async def test_field_09_an_outage_uses_up_no_attempts_at_an_unexpected_error(outages, as_outcome):
    """Three attempts are promised, whatever came before them or in between."""
    policy = RetryPolicy(0.0001, 0.001, unexpected_attempts=3, denied_patience=60)
    fates = ["away"] * outages + ["bug", "away", "bug", "away"]
    tries = []

    async def handler(messages):
        tries.append(fates.pop(0) if fates else "bug")
        if tries[-1] == "bug":
            raise ZeroDivisionError
        if as_outcome:
            return {messages[0]: Retry("away")}
        raise Retry("away")

    store, running = DeadLetterStore(), RunningBatch()
    handle = GuardedHandler(handler, store, policy, DeadLetterLimit(NO_LIMIT), pytest.fail)
    async with asyncio.timeout(5):
        await handle([delivery()], running)
    assert tries.count("bug") == 3
    assert store.sent == [(0, UNEXPECTED, outages + 5)]


async def test_field_09_pauses_of_an_outage_do_not_begin_with_those_of_errors(monkeypatch):
    pauses = []
    monkeypatch.setattr(RetryPolicy, "pause", lambda _self, attempt: pauses.append(attempt) or 0.0)
    fates = [ZeroDivisionError(), Retry("away"), Retry("away"), ZeroDivisionError()]

    async def handler(_messages):
        if fates:
            raise fates.pop(0)
        return {}

    policy = RetryPolicy(unexpected_attempts=3)
    async with asyncio.timeout(5):
        handle = GuardedHandler(
            handler, DeadLetterStore(), policy, DeadLetterLimit(NO_LIMIT), pytest.fail
        )
        await handle([delivery()], RunningBatch())
    assert pauses == [1, 1, 2, 2]


LIMIT = DeadLetterLimitPolicy(share=0.5, window=100, least=10)


async def process_limited(fates, *, self_test=None, key=lambda _: b"mad", as_one_key=False):
    """The number of dead letters of messages with these fates, and why the worker ended."""
    store, failures = DeadLetterStore(), []

    async def handler(messages):
        return {one: fates[one.offset] for one in messages if fates[one.offset] is not None}

    limit = DeadLetterLimit(LIMIT)
    handle = GuardedHandler(
        handler, store, POLICY, limit, failures.append, self_test=self_test, as_one_key=as_one_key
    )
    for number in range(len(fates)):
        task = asyncio.create_task(handle([delivery(number, key=key(number))], RunningBatch()))
        async with asyncio.timeout(5):
            while not task.done() and not failures:  # noqa: ASYNC110 - the state must be polled
                await asyncio.sleep(0)
        if failures:
            task.cancel()
            break
    return len(store.sent), failures


async def proven():
    return True


async def not_proven():
    return False


async def broken():
    raise ZeroDivisionError


MAD_KEYS = [lambda _: b"mad", lambda number: b"%d" % number, lambda _: None]


@pytest.mark.parametrize("key", MAD_KEYS, ids=["one key", "a key a message", "no key"])
async def test_field_19_garbage_alone_does_not_end_a_worker_that_can_do_its_work(key):
    fates = [Reject("corrupt", "no image")] * 500
    assert await process_limited(fates, self_test=proven, key=key) == (500, [])


@pytest.mark.parametrize("key", MAD_KEYS, ids=["one key", "a key a message", "no key"])
@pytest.mark.parametrize("self_test", [None, not_proven, broken])
async def test_field_19_a_worker_that_cannot_do_its_work_ends(self_test, key):
    sent, failures = await process_limited(
        [Reject("corrupt", "no image")] * 500, self_test=self_test, key=key
    )
    assert (sent, len(failures)) == (9, 1)


async def test_field_19_what_content_cannot_be_blamed_for_ends_a_worker_in_spite_of_the_proof():
    """And garbage among it hides nothing."""
    denied = GivenUp("access_denied", "for a minute")
    fates = [Reject("corrupt", "no image"), denied] * 50
    sent, failures = await process_limited(fates, self_test=proven, key=lambda n: b"%d" % (n % 3))
    assert sent < 30
    assert len(failures) == 1


async def test_field_19_a_mad_producer_does_not_end_the_worker_of_good_ones():
    """Without any proof, and with a good message now and then."""
    fates = [Reject("corrupt", "no image") if number % 20 else None for number in range(1000)]
    sent, failures = await process_limited(
        fates, key=lambda number: b"mad" if number % 20 else b"door-1"
    )
    assert (sent, failures) == (950, [])


async def test_field_19_errors_of_our_own_over_all_cameras_end_a_worker_in_spite_of_the_proof():
    """A release may be broken where its proof does not look."""
    fates = [None] * 400 + [GivenUp(UNEXPECTED, "ours")] * 400
    sent, failures = await process_limited(
        fates, self_test=proven, key=lambda number: b"door-%d" % (number % 40)
    )
    assert sent < 200
    assert len(failures) == 1


async def test_field_19_errors_over_one_senders_content_do_not():
    fates = [None if number % 10 == 0 else GivenUp(UNEXPECTED, "odd") for number in range(1000)]
    sent, failures = await process_limited(
        fates, self_test=proven, key=lambda number: b"door-1" if number % 10 == 0 else b"mad"
    )
    assert (sent, failures) == (900, [])


@pytest.mark.parametrize("batch", [[delivery(0)], [delivery(0), delivery(1)]])
async def test_field_27_a_cancellation_of_a_librarys_own_is_an_outage_and_loses_no_batch(batch):
    """aiohttp ends waits for a connection so when its pool is closed."""
    attempts = 0

    async def handler(messages):
        nonlocal attempts
        attempts += 1
        if attempts <= POLICY.unexpected_attempts + 1:
            waiting = asyncio.get_running_loop().create_future()
            waiting.cancel()
            await waiting
        return {}

    store = DeadLetterStore()
    running = await process(handler, batch, store)
    assert running.finished == [message.offset for message in batch]
    assert not store.sent


async def test_field_27_a_dead_letter_survives_a_cancellation_of_a_librarys_own():
    class Leaking(DeadLetterStore):
        async def send(self, message, reject, attempts):
            if self.closed_for:
                self.closed_for -= 1
                raise asyncio.CancelledError
            await super().send(message, reject, attempts)

    async def handler(messages):
        return {messages[0]: Reject("refused", "no")}

    store = Leaking(closed_for=2)
    running = await process(handler, [delivery(0)], store)
    assert running.finished == [0]
    assert [reason for _, reason, _ in store.sent] == ["refused"]


async def test_field_27_who_ends_a_batch_is_obeyed():
    async def handler(_messages):
        await asyncio.Event().wait()

    working = asyncio.create_task(
        guarded(handler, DeadLetterStore())([delivery(0)], RunningBatch())
    )
    await asyncio.sleep(0)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(10):
            await working
