"""The score of visits: what matches, what is split, mixed, and named wrongly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.visits.visit_scores import (
    ExpectedVisit,
    FoundVisit,
    expected_visits,
    score,
    together,
)

ANNA, BO = "Anna", "Bo"


def found(begin, end, *people, **more):
    return FoundVisit(faces=people, begin=begin, end=end, **more)


def test_a_found_visit_matches_that_of_its_person_at_the_time():
    expected = [ExpectedVisit(ANNA, 0, 10), ExpectedVisit(BO, 0, 10), ExpectedVisit(ANNA, 60, 70)]
    values = score(expected, [found(1, 9, ANNA, ANNA), found(61, 70, ANNA)]).values()
    assert (values["expected"], values["found"], values["matched"]) == (3, 2, 2)
    assert (values["precision"], values["recall"]) == (1, 2 / 3)
    assert values["swapped"] == values["split"] == values["foreign_faces"] == 0


@pytest.mark.parametrize(("begin", "matched"), [(0, 1), (7.4, 1), (7.6, 0), (10, 0), (20, 0)])
def test_half_of_the_shorter_visit_must_be_common(begin, matched):
    one = score([ExpectedVisit(ANNA, 0, 10)], [found(begin, begin + 5, ANNA)])
    assert one.matched == matched


def test_a_single_face_matches_within_the_visit():
    expected = [ExpectedVisit(ANNA, 0, 10)]
    assert score(expected, [found(3, 3, ANNA)]).matched == 1
    assert score(expected, [found(11, 11, ANNA)]).matched == 0


def test_visits_of_a_person_who_does_not_leave_count_once():
    one = score([ExpectedVisit(ANNA, 0, 10)], [found(0, 4, ANNA), found(5, 10, ANNA)])
    assert (one.matched, one.found, one.most, one.split) == (1, 2, 2, 1)


def test_the_visit_with_most_in_common_is_the_match():
    parts = [found(0, 2, ANNA, waited=1.0), found(2, 10, ANNA, waited=3.0)]
    assert score([ExpectedVisit(ANNA, 0, 10)], parts).waited == [3.0]


def test_a_found_visit_matches_once():
    expected = [ExpectedVisit(ANNA, 0, 10), ExpectedVisit(ANNA, 60, 70)]
    assert score(expected, [found(0, 70, ANNA)]).matched == 1


def test_a_visit_with_faces_of_two_people_is_a_swap():
    expected = [ExpectedVisit(ANNA, 0, 10), ExpectedVisit(BO, 0, 10)]
    one = score(expected, [found(0, 10, ANNA, ANNA, ANNA, BO)], unplaced=4)
    values = one.values()
    assert (values["matched"], values["swapped"], values["foreign_faces"]) == (1, 1, 0.25)
    assert values["unplaced_faces"] == 0.5


def test_what_shows_no_labelled_person_matches_nothing():
    one = score([ExpectedVisit(ANNA, 0, 10)], [found(0, 10, None, None)])
    assert (one.found, one.matched) == (1, 0)


def test_names_count_for_enrolled_people_alone():
    expected = [ExpectedVisit(ANNA, 0, 10), ExpectedVisit(BO, 0, 10)]
    visits = [found(0, 10, ANNA, named=BO, changes=2), found(0, 10, BO)]
    one = score(expected, visits, enrolled=[ANNA])
    assert (one.misnamed, one.named, one.nameable, one.changes) == (1, 0, 1, 2)
    assert "named" not in score(expected, visits).values()


def test_who_is_back_in_time_is_one_expected_visit():
    sightings = [(0.0, ANNA), (1.0, BO), (2.0, ANNA), (32.0, ANNA), (62.1, ANNA)]
    assert expected_visits(sightings, 30) == [
        ExpectedVisit(ANNA, 0, 32),
        ExpectedVisit(BO, 1, 1),
        ExpectedVisit(ANNA, 62.1, 62.1),
    ]


def test_scores_of_scenes_add_up():
    one = score([ExpectedVisit(ANNA, 0, 10)], [found(0, 10, ANNA, waited=1.0)], unplaced=1)
    other = score(
        [ExpectedVisit(BO, 0, 10)], [found(0, 4, BO, BO, ANNA), found(6, 10, BO)], enrolled=[BO]
    )
    whole = together([one, other])
    assert (whole.expected, whole.found, whole.matched, whole.most) == (2, 3, 2, 2)
    assert (whole.swapped, whole.foreign, whole.faces, whole.unplaced) == (1, 1, 5, 1)
    assert sorted(whole.waited) == [0.0, 1.0]
    assert whole.nameable == 1
    assert together([]).values()["precision"] == 0


@given(
    st.lists(
        st.tuples(st.sampled_from("ABC"), st.floats(0, 100), st.floats(0, 30)),
        max_size=8,
    ),
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(["A", "B", "C", None]), min_size=1, max_size=5),
            st.floats(0, 100),
            st.floats(0, 30),
        ),
        max_size=8,
    ),
)
def test_matches_are_pairs(labels, visits):
    expected = [ExpectedVisit(person, begin, begin + length) for person, begin, length in labels]
    others = [found(begin, begin + length, *faces) for faces, begin, length in visits]
    one = score(expected, others)
    assert one.matched <= min(one.expected, one.found)
    assert (one.matched > 0) == (one.most > 0)
    assert score(expected, [found(a.begin, a.end, a.person) for a in expected]).matched == len(
        expected
    )
