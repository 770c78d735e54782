import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.evaluation.liveness_errors import (
    LEAST_PRESENTATIONS,
    Presentations,
    errors_at,
    presentations_needed,
    rate_by_subject,
    rate_of,
    threshold_for,
)

scores = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=80).map(np.array)


def presentations(values, not_answered=0):
    return Presentations(np.array(values, np.float64), not_answered)


def test_each_rate_is_a_share_of_what_the_model_was_asked_about():
    attacks = {
        "print": presentations([0.1] * 15 + [0.9] * 5, 5),
        "replay": presentations([0.2] * 20),
    }
    found = errors_at(0.5, presentations([0.9] * 18 + [0.4] * 2, 30), attacks)
    assert (found.apcer["print"].value, found.apcer["replay"].value) == (0.25, 0.0)
    assert found.worst_apcer == 0.25
    assert found.bpcer.value == 0.1
    assert (found.apnrr["print"].value, found.bpnrr.value) == (0.2, 0.6)


def test_of_few_presentations_there_is_no_rate():
    attacks = {"print": presentations([0.1] * 20), "mask": presentations([0.1])}
    found = errors_at(0.5, presentations([0.9] * (LEAST_PRESENTATIONS - 1)), attacks)
    assert found.bpcer.value is None
    assert found.apcer["mask"].value is None
    assert found.worst_apcer is None


@pytest.mark.parametrize(
    ("errors", "number", "low", "high"),
    # Wilson's intervals as statsmodels' proportion_confint(method="wilson") gives them.
    [(0, 10, 0.0, 0.2775), (1, 10, 0.0179, 0.4042), (5, 100, 0.0215, 0.1118), (10, 10, 0.7225, 1)],
)
def test_intervals_are_those_of_wilson(errors, number, low, high):
    found = rate_of(errors, number)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@given(st.integers(0, 500), st.integers(0, 500))
def test_an_interval_holds_its_share(one, other):
    found = rate_of(min(one, other), max(one, other))
    assert 0.0 <= found.low <= found.high <= 1.0
    if found.number:
        assert found.low <= found.errors / found.number <= found.high


def test_intervals_cover_the_truth_in_95_of_100_draws():
    random = np.random.default_rng(5)
    for truth, number in ((0.02, 300), (0.1, 100), (0.5, 50)):
        rates = [rate_of(int(errors), number) for errors in random.binomial(number, truth, 2000)]
        covered = np.mean([one.low <= truth <= one.high for one in rates])
        assert 0.93 <= covered <= 0.98


@given(scores, scores, st.sampled_from([0.05, 0.1, 0.3]))
def test_a_threshold_holds_for_every_kind_and_is_the_lowest(one, other, wanted):
    attacks = {"print": presentations(one), "replay": presentations(other)}
    threshold = threshold_for(wanted, attacks)
    if min(len(one), len(other)) < presentations_needed(wanted):
        assert threshold is None
        return

    def worst(value):
        return max(float((each.scores >= value).mean()) for each in attacks.values())

    assert worst(threshold) <= wanted
    assert worst(np.nextafter(threshold, -1)) > wanted


def test_without_attacks_there_is_no_threshold():
    assert threshold_for(0.1, {}) is None


@pytest.mark.parametrize(("apcer", "needed"), [(0.05, 59), (0.01, 299), (0.1, 29)])
def test_the_rule_of_three(apcer, needed):
    assert presentations_needed(apcer) == needed


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcd")), min_size=1, max_size=40))
def test_subjects_change_the_interval_and_not_the_share(presented):
    hits = np.array([hit for hit, _ in presented])
    subjects = [name for _, name in presented]
    found, usual = rate_by_subject(hits, subjects), rate_by_subject(hits, ())
    assert (found.errors, found.number) == (usual.errors, usual.number) == (hits.sum(), len(hits))
    assert (found.subjects, usual.subjects) == (len(set(subjects)), None)
    assert 0 <= found.low <= found.errors / found.number <= found.high <= 1


def test_the_pictures_of_one_clip_are_no_more_evidence_than_one():
    """Of three clips one passes; 100 pictures of each are still three clips."""
    clips = rate_by_subject(np.arange(3) == 0, ["a", "b", "c"])
    many = [name for name in "abc" for _ in range(100)]
    pictures = rate_by_subject(np.repeat(np.arange(3) == 0, 100), many)
    assert (pictures.number, pictures.subjects) == (300, 3)
    assert (pictures.low, pictures.high) == pytest.approx((clips.low, clips.high), abs=0.02)
    assert pictures.high - pictures.low > 3 * (rate_of(100, 300).high - rate_of(100, 300).low)


def test_a_threshold_needs_attacks_of_different_subjects():
    scores = np.linspace(0.1, 0.3, 60)
    assert threshold_for(0.05, {"print": Presentations(scores)}) is not None
    few = Presentations(scores, 0, ["a", "b"] * 30)
    assert threshold_for(0.05, {"print": few}) is None
    many = Presentations(scores, 0, [str(number) for number in range(60)])
    assert threshold_for(0.05, {"print": many}) is not None


def test_what_the_model_could_not_judge_counts_by_subject_too():
    found = errors_at(
        0.5,
        Presentations(np.array([0.9] * 20), 10, ["a", "b"] * 10, ["c"] * 10),
        {"print": Presentations(np.array([0.1]))},
    )
    assert (found.bpnrr.errors, found.bpnrr.number, found.bpnrr.subjects) == (10, 30, 3)
    assert (found.bpcer.subjects, found.apcer["print"].subjects) == (2, None)
