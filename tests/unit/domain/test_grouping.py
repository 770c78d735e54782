"""Which unknown a visit is of: the rules, for any similarities and any embeddings."""

from datetime import timedelta
from uuid import UUID, uuid5

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.decisions.grouping import (
    MOST_EXEMPLARS,
    MOST_FACES,
    Exemplar,
    GroupingPolicy,
    VisitEvidence,
    assign,
    first_unknown_id,
    is_of_an_unknown,
    kept_exemplars,
    least_cosine,
    may_be_grouped,
    template_of,
    visit_embedding,
)
from domain.decisions.matching import Candidate
from domain.events import NAMESPACE
from domain.liveness_result import Liveness
from domain.visit_events import Visit, VisitState
from tests.contract.builders import NOON

POLICY = GroupingPolicy(threshold=0.5, margin=0.05, min_faces=3, min_quality=0.35)
VISIT = UUID(int=1)
DIMENSION = 8


def unit(*values):
    vector = np.zeros(DIMENSION, np.float32)
    vector[: len(values)] = values
    return vector / np.linalg.norm(vector)


def a_visit(**fields):
    own = {
        "visit_id": VISIT,
        "camera_id": "door",
        "revision": 2,
        "state": VisitState.ENDED,
        "started_at": NOON,
        "last_seen_at": NOON + timedelta(seconds=5),
        "ended_at": NOON + timedelta(seconds=5),
        "faces": 3,
        "reason": "left",
    }
    return Visit(**own | fields)


@pytest.mark.parametrize(
    ("fields", "grouped"),
    [
        ({}, True),
        ({"faces": 2}, False),
        ({"user_id": UUID(int=9)}, False),
        ({"reason": "merged"}, False),
        ({"reason": None}, True),
        ({"state": VisitState.OPEN, "ended_at": None}, False),
        ({"liveness": Liveness(status="spoof")}, False),
        ({"liveness": Liveness(status="live")}, True),
        ({"liveness": Liveness(status="input_rejected")}, True),
    ],
    ids=["good", "few", "user", "merged", "no-reason", "open", "spoof", "live", "rejected"],
)
def test_visits_of_unknowns_that_are_over_and_long_enough_are_grouped(fields, grouped):
    assert may_be_grouped(a_visit(**fields), POLICY) is grouped


def test_a_visit_that_is_too_short_is_an_unknowns_all_the_same():
    assert is_of_an_unknown(a_visit(faces=1))


def test_the_best_faces_are_averaged_by_quality():
    faces = [
        VisitEvidence(UUID(int=1), 0.9, unit(1, 0)),
        VisitEvidence(UUID(int=2), 0.45, unit(0, 1)),
        VisitEvidence(UUID(int=3), 0.34, unit(0, 0, 1)),
    ]
    assert visit_embedding(faces, POLICY) == pytest.approx(unit(2, 1), abs=1e-6)


def test_of_many_faces_only_the_best_count():
    good = [VisitEvidence(UUID(int=n), 0.9, unit(1)) for n in range(MOST_FACES)]
    worse = [VisitEvidence(UUID(int=n), 0.8, unit(0, 1)) for n in range(100, 110)]
    assert visit_embedding([*worse, *good], POLICY) == pytest.approx(unit(1))


def test_without_a_good_face_there_is_no_embedding():
    assert visit_embedding([VisitEvidence(UUID(int=1), 0.3, unit(1))], POLICY) is None
    assert visit_embedding([], POLICY) is None


def candidates(**similarities):
    return [Candidate(UUID(int=ord(name)), value) for name, value in similarities.items()]


A, B = UUID(int=ord("a")), UUID(int=ord("b"))


@pytest.mark.parametrize(
    ("best", "apart", "unknown", "reason"),
    [
        ({"a": 0.5}, (), A, "joined"),
        ({"a": 0.499}, (), None, "below_threshold"),
        ({"b": 0.54, "a": 0.6}, (), A, "joined"),
        ({"b": 0.56, "a": 0.6}, (), None, "ambiguous"),
        ({"b": 0.6, "a": 0.9}, (A,), B, "joined"),
        ({"b": 0.58, "a": 0.6}, (A,), B, "joined"),
        ({"a": 0.9}, (A,), None, "no_other"),
        ({}, (), None, "no_other"),
    ],
    ids=["at", "below", "lead", "no-lead", "apart", "apart-lead", "only-apart", "first"],
)
def test_a_visit_joins_at_the_threshold_with_a_lead(best, apart, unknown, reason):
    given_to = assign(VISIT, candidates(**best), apart, POLICY)
    assert given_to.unknown_id == (unknown or first_unknown_id(VISIT))
    assert given_to.reason == reason
    assert given_to.begins is (unknown is None)


def test_the_id_of_an_unknown_is_derived_from_its_first_visit():
    assert first_unknown_id(VISIT) == uuid5(NAMESPACE, f"unknown|{VISIT}")


SIMILARITIES = st.dictionaries(
    st.integers(0, 6).map(lambda number: UUID(int=number)), st.floats(-1, 1), max_size=7
)


@given(
    SIMILARITIES,
    st.sets(st.integers(0, 6).map(lambda number: UUID(int=number))),
    st.randoms(use_true_random=False),
)
def test_no_visit_joins_one_that_it_is_apart_from_and_the_order_makes_no_difference(
    similarities, apart, chance
):
    best = [Candidate(*one) for one in similarities.items()]
    given_to = assign(VISIT, best, apart, POLICY)
    assert given_to.unknown_id not in apart
    chance.shuffle(best)
    assert assign(VISIT, best, apart, POLICY) == given_to
    left = sorted((v for k, v in similarities.items() if k not in apart), reverse=True)
    joins = bool(left) and left[0] >= POLICY.threshold
    joins = joins and (len(left) == 1 or left[0] - left[1] >= POLICY.margin)
    assert given_to.begins is not joins


def exemplars(seed, number):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(number, DIMENSION)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return [Exemplar(UUID(int=place), row) for place, row in enumerate(rows)]


@given(st.integers(0, 10**6), st.integers(0, 30), st.randoms(use_true_random=False))
def test_a_template_keeps_at_most_twenty_visits_in_any_order(seed, number, chance):
    given_ones = exemplars(seed, number)
    kept = kept_exemplars(given_ones)
    assert len(kept) == min(number, MOST_EXEMPLARS)
    shuffled = list(given_ones)
    chance.shuffle(shuffled)
    again = kept_exemplars(shuffled)
    assert [one.visit_id for one in again] == [one.visit_id for one in kept]
    if kept:
        template = template_of(kept)
        assert np.linalg.norm(template) == pytest.approx(1, abs=1e-5)
        chance.shuffle(kept)
        assert np.array_equal(template_of(kept), template)


def test_a_template_is_made_of_twenty_visits():
    """As docs/unknowns.md says: what is done for a visit does not grow with those before it."""
    many = [Exemplar(UUID(int=place), unit(1.0, place)) for place in range(1, 30)]
    assert len(kept_exemplars(many)) == 20


def test_of_two_alike_the_one_that_is_more_like_the_next_is_left_out():
    far, near, nearer = unit(0, 1), unit(1, 0.3), unit(1, 0.32)
    given_ones = [Exemplar(UUID(int=n), row) for n, row in enumerate((far, near, nearer))]
    assert [one.visit_id.int for one in kept_exemplars(given_ones, 2)] == [0, 1]


def test_no_visit_makes_no_template():
    assert template_of([]) is None
    assert template_of([Exemplar(UUID(int=1), unit(1)), Exemplar(UUID(int=2), -unit(1))]) is None


@pytest.mark.parametrize(
    ("set_to", "match", "least"), [(None, 0.45, 0.5), (None, 0.98, 1.0), (0.3, 0.45, 0.3)]
)
def test_a_model_whose_matches_need_more_needs_more_of_visits_too(set_to, match, least):
    assert least_cosine(set_to, match) == pytest.approx(least)
