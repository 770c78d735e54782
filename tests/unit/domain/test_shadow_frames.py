"""Which frames are in shadow, and how two answers about a face are counted."""

from dataclasses import astuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.decisions.shadow_frames import Answers, ShadowCount, is_in_shadow
from domain.events import event_uuid

ADA, BEA = UUID(int=1), UUID(int=2)
USERS = st.sampled_from([None, ADA, BEA])


@given(st.uuids(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_has_all_frames_of_a_smaller_one(event, one, other):
    low, high = sorted((one, other))
    assert is_in_shadow(event, high) >= is_in_shadow(event, low)
    assert not is_in_shadow(event, 0.0)
    assert is_in_shadow(event, 1.0)


def test_of_many_frames_the_share_is_in_shadow():
    events = [event_uuid("camera/door", str(number)) for number in range(4000)]
    assert sum(is_in_shadow(one, 0.05) for one in events) == pytest.approx(200, abs=60)


@given(USERS, st.booleans(), USERS, USERS)
def test_a_face_is_counted_once(decided, is_covered, best, other):
    count = ShadowCount.of(Answers(decided, is_covered, best, other))
    assert (count.faces, count.embedded) == (1, 1)
    assert count.known == (decided is not None)
    assert max(count.covered, count.same_best, count.found + count.confused) <= count.known
    assert count.taken <= count.embedded - count.known
    assert count.found == (decided is not None and other == decided)
    assert count.confused + count.taken == (other is not None and other != decided)


def test_a_face_that_the_other_model_has_not_embedded_is_a_face():
    assert astuple(ShadowCount.of(None)) == (1, 0, 0, 0, 0, 0, 0, 0)


@given(st.lists(st.lists(st.integers(0, 9), min_size=8, max_size=8), max_size=4))
def test_counts_are_added_one_by_one(rows):
    expected = tuple(map(sum, zip(*rows, strict=True))) or (0,) * 8
    assert astuple(ShadowCount.total(ShadowCount(*row) for row in rows)) == expected
