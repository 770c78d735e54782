"""The scores of groups, and the crowd that unknowns are measured with."""

import numpy as np
import pytest

from benchmarks.gallery.templates import Statistics
from benchmarks.unknowns.crowd import assignment_times, drawn_crowd, grouped
from benchmarks.unknowns.group_scores import group_scores
from domain.decisions.grouping import GroupingPolicy

POLICY = GroupingPolicy(threshold=0.5, margin=0.0, min_faces=1, min_quality=0.0)
DIMENSION = 64


@pytest.mark.parametrize(
    ("people", "groups", "expected"),
    [
        ("aabb", "xxyy", (1, 1, 1, 1, 1)),
        ("aabb", "xxxx", (0.5, 1, 0.5, 1, 2 / 3)),
        ("aaaa", "wxyz", (1, 0.25, 1, 0.25, 0.4)),
        ("aaab", "xxyy", (0.75, 0.75, 0.75, 2 / 3, 12 / 17)),
    ],
    ids=["right", "one group", "all apart", "one wrong"],
)
def test_scores_by_hand(people, groups, expected):
    assert tuple(group_scores(people, groups).values()) == pytest.approx(expected)


def test_nothing_has_no_score():
    with pytest.raises(ValueError, match="no visit"):
        group_scores([], [])


@pytest.fixture
def crowd():
    statistics = Statistics.isotropic(DIMENSION)
    return drawn_crowd(statistics, 40, 4, 1)


def test_a_crowd_is_the_same_each_time_and_in_another_order_the_same_people(crowd):
    again = drawn_crowd(Statistics.isotropic(DIMENSION), 40, 4, 1)
    assert np.array_equal(crowd.visits, again.visits)
    other = crowd.shuffled(3)
    assert not np.array_equal(crowd.people, other.people)
    assert sorted(crowd.people) == sorted(other.people)
    assert set(crowd.people) == set(range(40))


def test_people_who_differ_clearly_are_found_again(crowd):
    groups = grouped(crowd, POLICY)
    assert group_scores(crowd.people.tolist(), groups)["bcubed_f"] > 0.95


def test_each_visit_is_timed(crowd):
    seconds = assignment_times(crowd.visits[:50], crowd.visits[50:60], POLICY)
    assert seconds.shape == (10,)
    assert (seconds > 0).all()
