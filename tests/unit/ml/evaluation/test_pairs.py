"""FMR and FNMR of pairs, against plain counting."""

import numpy as np

from ml.evaluation.pairs import pair_rates
from ml.evaluation.people_bootstrap import draw_people
from ml.recognition.embedders import unit_rows

#: The threshold is the score of a pair, which the product sums in another order than the test.
ROUNDING = 1e-6


def faces(people, photos, spread, seed):
    random = np.random.default_rng(seed)
    own = random.standard_normal((people, 16)).repeat(photos, axis=0)
    noise = spread * random.standard_normal(own.shape)
    return unit_rows((own + noise).astype(np.float32)), np.arange(people).repeat(photos)


def test_rates_are_those_of_all_pairs():
    embeddings, people = faces(60, 3, 0.8, 1)
    drawn = draw_people(np.ones(60, bool), 100)
    at, *by_fmr = pair_rates(embeddings, people, 0.5, drawn)
    scores = np.asarray(embeddings @ embeddings.T, np.float64)
    above = np.triu(np.ones_like(scores, bool), 1)
    same = people[:, None] == people[None]
    assert at.fmr[0] == np.mean(scores[above & ~same] >= 0.5)
    assert at.fnmr[0] == np.mean(scores[above & same] < 0.5)
    assert at.fmr[1] <= at.fmr[0] <= at.fmr[2]
    assert at.fnmr[1] <= at.fnmr[0] <= at.fnmr[2]
    one = by_fmr[0]
    assert np.mean(scores[above & ~same] >= one.threshold + ROUNDING) <= 0.01
    assert np.mean(scores[above & ~same] >= one.threshold - 0.01) > 0.01
    fewest, most = (
        np.mean(scores[above & same] < one.threshold + side) for side in (-ROUNDING, ROUNDING)
    )
    assert fewest <= one.fnmr[0] <= most


def test_rare_false_matches_need_many_people():
    embeddings, people = faces(30, 2, 0.5, 2)
    found = pair_rates(embeddings, people, 0.5, draw_people(np.ones(30, bool), 20))
    assert [one.threshold is None for one in found] == [False, False, True, True]
    assert found[-1].pairs_needed == 30_000


def test_one_photo_each_makes_no_pairs():
    embeddings, people = faces(10, 1, 0.5, 3)
    (only,) = pair_rates(embeddings, people, 0.5, draw_people(np.ones(10, bool), 20))
    assert (only.threshold, only.fmr, only.fnmr) == (None, None, None)
