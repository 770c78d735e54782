"""Nothing is committed past a message that was fetched and not acknowledged."""

from hypothesis import given
from hypothesis import strategies as st

from streams.faust.open_offsets import OpenOffsets


def test_field_05_a_message_that_was_fetched_and_never_begun_stays_open():
    offsets = OpenOffsets()
    offsets.brought([3, 4, 5])  # dropped on the way
    offsets.brought([6, 9])
    offsets.acknowledged(6)
    offsets.acknowledged(9)
    assert offsets.first() == 3


def test_field_05_what_is_read_again_is_open_from_there():
    offsets = OpenOffsets()
    offsets.brought([3, 4, 5])
    offsets.acknowledged(4)
    offsets.brought([4, 5])
    assert offsets.first() == 4
    offsets.acknowledged(4)
    offsets.acknowledged(5)
    assert offsets.first() is None


@given(st.sets(st.integers(0, 50), min_size=1), st.data())
def test_field_05_the_first_that_is_not_acknowledged_is_told(brought, data):
    log = sorted(brought)
    done = data.draw(st.sets(st.sampled_from(log)))
    offsets = OpenOffsets()
    offsets.brought(log)
    for offset in data.draw(st.permutations(sorted(done))):
        offsets.acknowledged(offset)
    assert offsets.first() == min(brought - done, default=None)
