"""The places for open streams: a number in all, and for each key."""

from contextlib import ExitStack, nullcontext
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from api.live.event_stream import event_stream
from api.live.listener import Listener, Places
from services.api_keys import Caller


def test_places_are_limited_and_come_free():
    places = Places(2, 2)
    with places.taken("one"):
        assert not places.full
        with places.taken("other"):
            assert places.full
        assert not places.full


def test_one_key_leaves_places_to_others():
    places = Places(10, 2)
    with places.taken("one"), places.taken("one"):
        assert places.all_taken_by("one")
        assert not places.all_taken_by("other")
        assert not places.full
    assert not places.all_taken_by("one")


def test_callers_without_keys_share_all_places():
    places = Places(3, 1)
    with places.taken(None), places.taken(None):
        assert not places.all_taken_by(None)
        with places.taken(None):
            assert places.full


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.booleans()), max_size=30))
def test_whoever_comes_and_goes_the_places_are_those_that_are_open(steps):
    places, open_ones = Places(5, 3), []
    for caller, comes in steps:
        if comes:
            stack = ExitStack()
            stack.enter_context(places.taken(caller))
            open_ones.append((caller, stack))
        elif open_ones:
            open_ones.pop()[1].close()
        assert places.full == (len(open_ones) >= 5)
        for one in ("a", "b"):
            assert places.all_taken_by(one) == (sum(one == name for name, _ in open_ones) >= 3)


async def test_a_stream_that_others_were_faster_than_ends_at_once():
    """The place is taken when the stream begins, some time after the request was let in."""
    api = SimpleNamespace(stream_heartbeat=60.0)
    services = SimpleNamespace(places=Places(10, 1), settings=SimpleNamespace(api=api))
    caller = Caller("one", "key", frozenset({"read"}))

    def stream():
        listener = nullcontext(Listener(10, lambda _event: True))
        return event_stream(services, caller, listener, encode=None)

    first, second = stream(), stream()
    assert (await anext(first)).startswith(b"retry: ")
    assert [part async for part in second] == []
    await first.aclose()
    assert (await anext(stream())).startswith(b"retry: ")
