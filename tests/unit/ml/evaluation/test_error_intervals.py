"""Where the truth is known, intervals contain it as often as they say."""

import numpy as np
import pytest

from ml.evaluation.error_rates import Scores, limits_of, operating_point, people_needed
from ml.evaluation.people_bootstrap import draw_people, share_of, wilson

_PROBES = 3
_POPULATION = 100_000
_REPEATS = 100


def population(random, known, unknown):
    """Scores of people with several probes each, which resemble each other."""
    mine = np.repeat(random.normal(0.62, 0.08, known), _PROBES)
    others = np.repeat(random.normal(0, 0.03, unknown), _PROBES)
    return (
        mine + random.normal(0, 0.08, known * _PROBES),
        others + random.gumbel(0.32, 0.035, unknown * _PROBES),
    )


@pytest.mark.parametrize(("known", "unknown", "fpir"), [(40, 60, 0.1), (100, 300, 0.01)])
def test_intervals_contain_the_truth_in_95_of_100_samples(known, unknown, fpir):
    random = np.random.default_rng(5)
    mine, others = population(random, _POPULATION, _POPULATION)
    threshold = float(np.quantile(others, 1 - fpir))
    fnir = float((mine < threshold).mean())
    inside = dict.fromkeys(("fnir at fpir", "threshold", "fpir", "fnir"), 0)
    own = np.repeat(np.arange(known), _PROBES)
    strange = known + np.repeat(np.arange(unknown), _PROBES)
    for repeat in range(_REPEATS):
        mine, others = population(random, known, unknown)
        drawn = draw_people(np.arange(known + unknown) < known, 120, seed=repeat)
        point = operating_point(Scores(mine, own), Scores(others, strange), fpir, drawn)
        low, high = point.fnir_interval
        inside["fnir at fpir"] += low <= fnir <= high
        low, high = point.threshold_interval
        inside["threshold"] += low <= threshold <= high
        found = share_of(others >= threshold, strange, drawn)
        inside["fpir"] += found.low <= fpir <= found.high
        found = share_of(mine < threshold, own, drawn)
        inside["fnir"] += found.low <= fnir <= found.high
    # Three standard deviations of the count below 95 of 100.
    least = 0.95 - 3 * (0.95 * 0.05 / _REPEATS) ** 0.5
    assert [name for name, count in inside.items() if count < least * _REPEATS] == []


def test_probes_of_one_person_count_as_one_where_they_are_alike():
    """Ten copies of each probe are no more evidence than one."""
    random = np.random.default_rng(3)
    hits = random.random(60) < 0.2
    drawn = draw_people(np.ones(60, bool), 400)
    once = share_of(hits, np.arange(60), drawn)
    copies = share_of(np.repeat(hits, 10), np.repeat(np.arange(60), 10), drawn)
    assert copies.value == once.value
    assert copies.high - copies.low == pytest.approx(once.high - once.low, rel=0.1)
    low, high = wilson(hits.mean(), 600)
    assert copies.high - copies.low > 2 * (high - low)


def test_people_of_whom_the_same_share_is_hit_count_as_one_each():
    """All draws are the same but for rounding, which is no evidence."""
    drawn = draw_people(np.ones(1, bool), 400)
    found = share_of(np.arange(1000) % 10 > 0, np.zeros(1000, np.int64), drawn)
    assert (found.value, found.size) == (0.9, 1.0)


def test_no_error_in_few_people_is_not_certainty():
    drawn = draw_people(np.ones(20, bool), 100)
    found = share_of(np.zeros(40, bool), np.repeat(np.arange(20), 2), drawn)
    assert found.value == 0
    assert found.low == 0
    assert 0.1 < found.high < 0.25


def test_without_probes_nothing_is_known():
    none = np.zeros(0, np.int64)
    found = share_of(none.astype(bool), none, draw_people(np.ones(3, bool), 10))
    assert (found.value, found.low, found.high, found.people) == (None, 0, 1, 0)


def test_a_limit_is_the_lowest_that_at_most_the_share_reaches():
    falling = np.array([0.9, 0.8, 0.8, 0.3])
    limits = limits_of(falling, np.ones(4), np.array([0.0, 0.25, 0.5, 0.75, 1.0]))
    shares = [(falling >= limit).mean() for limit in limits]
    assert shares == [0.0, 0.25, 0.25, 0.75, 1.0]


def test_rare_events_need_more_people():
    assert [people_needed(fpir) for fpir in (0.1, 0.03, 0.01, 0.003)] == [30, 100, 300, 1000]
