"""Which threshold and margin are recommended."""

import numpy as np

from domain.decisions.matching import MatchPolicy
from ml.evaluation.discard import error_versus_discard
from ml.evaluation.open_set import Trials
from ml.evaluation.people_bootstrap import draw_people
from ml.evaluation.recommendation import Trialled, recommend, sweep


def trialled(own, best, second, *, seed=4):
    """Every enrolled person with one probe, then as many unknown people."""
    random = np.random.default_rng(seed)
    count = 400
    scores = [own(random, count), best(random, count), second(random, count)]
    unknown = [np.full(count, -np.inf), best(random, count), second(random, count)]
    people = np.arange(2 * count)
    columns = [np.concatenate(both) for both in zip(scores, unknown, strict=True)]
    named, reliable = np.zeros(2 * count, np.int64), np.ones(2 * count, bool)
    every = Trials(people, *columns, named, reliable, count)
    drawn = draw_people(people < count, 200)
    return Trialled(every.of(every.known), every.of(~every.known), people, drawn)


def test_the_margin_stays_where_others_are_as_good():
    trials = trialled(
        lambda random, count: random.normal(0.65, 0.08, count),
        lambda random, count: random.normal(0.35, 0.05, count),
        lambda _, count: np.full(count, 0.1),
    )
    found = recommend(trials, 0.05, 0.05)
    assert found.margin == 0.05
    assert found.fpir.value <= 0.05
    assert found.point.threshold_interval[0] <= found.point.threshold
    policy = MatchPolicy(found.point.threshold, 0.05)
    assert trials.fnir(policy).value == found.point.fnir


def test_a_margin_that_misses_fewer_is_recommended():
    """Unknown people resemble two of the enrolled alike; the enrolled resemble themselves alone."""
    trials = trialled(
        lambda random, count: random.normal(0.6, 0.08, count),
        lambda random, count: np.where(random.random(count) < 0.3, 0.55, 0.2),
        lambda random, count: np.where(random.random(count) < 2, 0.48, 0.2),
    )
    found = recommend(trials, 0.05, 0.0)
    assert found.margin >= 0.07
    assert found.fpir.value <= 0.05


def test_a_sweep_has_the_rates_of_each_pair():
    trials = trialled(
        lambda random, count: random.normal(0.6, 0.1, count),
        lambda random, count: random.normal(0.4, 0.1, count),
        lambda random, count: random.normal(0.3, 0.05, count),
    )
    swept = sweep(trials, (0.4, 0.5), (0.0, 0.1))
    for row, margin in enumerate((0.0, 0.1)):
        for column, threshold in enumerate((0.4, 0.5)):
            policy = MatchPolicy(threshold, margin)
            assert np.isclose(swept.fpir[row, column], trials.fpir(policy).value)
            assert np.isclose(swept.fnir[row, column], trials.fnir(policy).value)


def test_a_score_that_predicts_errors_leaves_fewer():
    errors = np.arange(100) < 10
    perfect = error_versus_discard(errors, np.arange(100.0), (0.0, 0.05, 0.1))
    assert perfect == [0.1, 5 / 95, 0.0]
    constant = error_versus_discard(errors, np.zeros(100), (0.0, 0.05, 0.5))
    np.testing.assert_allclose(constant, [0.1, 0.1, 0.1])
    useless = error_versus_discard(errors, -np.arange(100.0), (0.0, 0.5))
    assert useless[1] > useless[0]
