import asyncio
import gc

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.detect.ordered_batches import Step, Turn, Turns

KEYS = st.frozensets(st.sampled_from([b"door-1", b"door-2", b"door-3"]))


@settings(max_examples=200)
@given(st.lists(st.tuples(KEYS, st.integers(0, 6), st.booleans()), max_size=12))
async def test_who_shares_a_key_goes_in_order_however_long_each_takes(batches):
    turns = Turns()
    gone = []

    async def work(number, keys, seconds, fails):
        with turns.take(keys) as turn:
            for _ in range(seconds):
                await asyncio.sleep(0)
            if fails:
                raise OSError
            await turn.come(Step.SEND)
            for _ in range(seconds % 3):
                await asyncio.sleep(0)
            gone.append((number, keys))

    async with asyncio.timeout(10):
        await asyncio.gather(
            *(work(number, *batch) for number, batch in enumerate(batches)), return_exceptions=True
        )
    assert len(gone) == sum(not fails for *_, fails in batches)
    for key in (b"door-1", b"door-2", b"door-3"):
        numbers = [number for number, keys in gone if key in keys]
        assert numbers == sorted(numbers)


async def test_who_shares_no_key_passes():
    turns = Turns()
    with turns.take([b"door-1"]), turns.take([b"door-2"]) as other, turns.take([]) as keyless:
        async with asyncio.timeout(5):
            await other.come(Step.SEND)
            await keyless.come(Step.SEND)


def test_turns_that_are_over_are_forgotten_while_others_wait():
    turns, before = Turns(), turns_in_memory()
    last = turns.take([b"door-1"])
    last.__enter__()
    for _ in range(50):
        following = turns.take([b"door-1"])
        following.__enter__()
        last.__exit__(None, None, None)
        last = following
    assert turns_in_memory() - before <= 2
    last.__exit__(None, None, None)


def turns_in_memory():
    gc.collect()
    return sum(isinstance(one, Turn) for one in gc.get_objects())
