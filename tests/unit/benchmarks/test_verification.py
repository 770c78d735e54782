"""Accuracy of embeddings whose outcome is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.inference.mirror import seen_from_afar
from benchmarks.inference.verification import Draw, Faces, draws, interval, measure
from domain.decisions.matching import MatchPolicy

AXES = np.eye(8, dtype=np.float32)
#: Two people with two faces each, three with one.
PEOPLE = np.array(["a", "a", "b", "b", "c", "d", "e"])
FACES = AXES[[0, 0, 1, 1, 2, 3, 4]]
OTHERS = AXES[5:7]
POLICY = MatchPolicy(threshold=0.5, margin=0.1)


def found(probes, photos=FACES, others=OTHERS):
    everything = draws(PEOPLE, len(others), 1)
    return {
        name: values[0]
        for name, values in measure(
            Faces(photos, probes, PEOPLE, others), everything, POLICY
        ).items()
    }


def test_people_at_right_angles_are_all_distinguished():
    values = found(FACES)
    assert (values["tar_1e-3"], values["rank_1"]) == (100, 100)
    assert (values["fnir"], values["default_fnir"], values["default_fpir"]) == (0, 0, 0)


def test_a_face_that_turned_into_another_persons_is_missed():
    probes = FACES.copy()
    probes[1] = AXES[1]
    values = found(probes)
    assert values["tar_1e-3"] == 0  # the pair of a and b is as alike as one can be
    assert (values["rank_1"], values["fnir"], values["default_fnir"]) == (75, 25, 25)


def test_an_unknown_who_looks_like_a_user_matches_by_the_policy():
    others = np.stack([AXES[0], AXES[5]])
    values = found(FACES, others=others)
    assert values["default_fpir"] == 20  # of five unknowns
    # At most one in a hundred unknowns may match, so the threshold is too high for all.
    assert values["fnir"] == 100


def test_the_margin_counts_by_the_policy():
    probes = FACES.copy()
    probes[0] = (AXES[0] + 0.95 * AXES[1]) / np.linalg.norm(AXES[0] + 0.95 * AXES[1])
    values = found(probes)
    assert (values["rank_1"], values["default_fnir"]) == (100, 25)


@settings(max_examples=100, deadline=None)
@given(
    faces=st.lists(st.integers(1, 4), min_size=1, max_size=9),
    others=st.integers(0, 5),
    count=st.integers(1, 20),
)
def test_each_draw_has_as_many_people_as_there_are(faces, others, count):
    people = np.array([str(number) for number, size in enumerate(faces) for _ in range(size)])
    drawn = list(draws(people, others, count))
    assert len(drawn) == count
    assert drawn[0].people.tolist() == [1] * len(people)
    several = sum(size > 1 for size in faces)
    for draw in drawn:
        first = np.unique(people, return_index=True)[1]
        times = dict(zip(people[first], draw.people[first], strict=True))
        assert [times[who] for who in people] == draw.people.tolist()
        assert sum(times[str(n)] for n, size in enumerate(faces) if size > 1) == several
        assert sum(times.values()) == len(faces)
        assert draw.others.sum() == others


def test_draws_differ():
    drawn = [draw.people.tolist() for draw in draws(PEOPLE, 0, 50)]
    assert len({tuple(each) for each in drawn}) > 5


def test_a_person_who_is_drawn_twice_counts_twice():
    probes = FACES.copy()
    probes[1] = AXES[1]
    twice = Draw(np.array([2, 2, 0, 0, 1, 1, 1]), np.ones(2, np.int64))
    values = measure(Faces(FACES, probes, PEOPLE, OTHERS), iter([twice]), POLICY)
    assert values["fnir"][0] == 50
    assert values["tar_1e-3"][0] == 50  # the pairs with b, who was not drawn, set no threshold
    assert interval(values["fnir"]) == (50, 50)


def test_from_afar_a_face_has_little_detail():
    noise = np.random.default_rng(1).integers(0, 256, (112, 112, 3), np.uint8)
    small = seen_from_afar(noise)
    assert (small.shape, small.dtype) == (noise.shape, np.uint8)
    assert small.std() < noise.std() / 2
    assert small.mean() == pytest.approx(noise.mean(), abs=3)
