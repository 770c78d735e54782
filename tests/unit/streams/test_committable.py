"""Which offset may be committed, where offsets are not numbers of messages."""

from hypothesis import given
from hypothesis import strategies as st

from streams.faust.committable import Fetched, committable

#: A partition's offsets: what a consumer sees, and what it never sees (markers, aborted batches).
logs = st.lists(st.sampled_from(["message", "unseen"]), max_size=30)


@given(log=logs, data=st.data())
def test_field_05_nothing_is_committed_past_a_message_that_is_not_acknowledged(log, data):
    """And all is, once every message that was fetched is acknowledged: the lag goes to 0."""
    position = data.draw(st.integers(0, len(log)))
    seen = [offset for offset in range(position) if log[offset] == "message"]
    done = data.draw(st.integers(0, len(seen)))
    acknowledged = seen[done - 1] + 1 if done else None
    fetched = Fetched(*(seen[:1] or [None]), *(seen[-1:] or [None]), position)
    offset = committable(acknowledged, fetched)
    if done == len(seen):
        assert offset == position
    else:
        assert offset == (seen[0] if acknowledged is None else acknowledged)
        assert not any(one < (offset or 0) for one in seen[done:])


def test_field_05_messages_that_were_fetched_and_dropped_hold_the_offset():
    """Faust drops what it has fetched when a rebalance begins; it is fetched again after it."""
    assert committable(5, Fetched(first=3, last=9, position=10)) == 5
    assert committable(None, Fetched(first=7, last=9, position=10)) == 7


def test_field_05_a_position_that_went_back_takes_no_offset_back():
    assert committable(10, Fetched(first=9, last=9, position=4)) == 10


def test_field_05_before_the_first_fetch_nothing_is_known():
    assert committable(None, None) is None
    assert committable(7, None) == 7
