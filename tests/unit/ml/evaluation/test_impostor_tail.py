"""What a small gallery says of large ones."""

import numpy as np
import pytest

from benchmarks.gallery.templates import Statistics
from ml.evaluation.gallery_sizes import drawn_galleries
from ml.evaluation.impostor_tail import fit_tail
from ml.evaluation.open_set import Gallery, Probes, search
from ml.recognition.embedders import unit_rows

_TRUTH_SIZE = 10_000
_FPIR = 0.01


@pytest.fixture(params=["isotropic", "lfw"])
def statistics(request):
    if request.param == "isotropic":
        return Statistics.isotropic(128)
    shared = request.getfixturevalue("shared")
    return Statistics.load(shared / "data/embeddings/sface_lfw_statistics.npz")


def templates(statistics, random, people):
    """One template of three photos each, and the people themselves."""
    own = statistics.mean + random.standard_normal((people, 128), np.float32) @ statistics.between.T
    photos = [photo(statistics, random, own) for _ in range(3)]
    return unit_rows(np.mean(photos, axis=0))


def photo(statistics, random, own):
    noise = random.standard_normal(own.shape, np.float32)
    return unit_rows(own + noise @ statistics.within.T)


def probes(statistics, random, people):
    own = statistics.mean + random.standard_normal((people, 128), np.float32) @ statistics.between.T
    return photo(statistics, random, own)


def test_thresholds_for_10000_people_are_within_the_intervals_of_200(statistics):
    random = np.random.default_rng(7)
    unknown = probes(statistics, random, 1500)
    top = (unknown @ templates(statistics, random, _TRUTH_SIZE).T).max(axis=1)
    truth = float(np.quantile(top, 1 - _FPIR))
    inside, errors = 0, []
    for _ in range(5):
        gallery = Gallery(templates(statistics, random, 200), np.arange(200))
        searched = Probes(probes(statistics, random, 300), 200 + np.arange(300), np.ones(300, bool))
        _, tail = search(gallery, searched)
        fitted = fit_tail(tail, 60)
        value, low, high = fitted.threshold(_FPIR, _TRUTH_SIZE)
        inside += low <= truth <= high
        errors.append(value - truth)
    assert inside >= 4
    assert abs(np.median(errors)) < 0.02


def test_drawn_galleries_agree_with_the_tail():
    statistics, random = Statistics.isotropic(128), np.random.default_rng(8)
    gallery = Gallery(templates(statistics, random, 400), np.arange(400))
    people = 400 + np.arange(800)
    searched = Probes(probes(statistics, random, 800), people, np.ones(800, bool))
    _, tail = search(gallery, searched)
    fitted = fit_tail(tail, 60)
    threshold = fitted.tail.threshold(0.05, 400)
    drawn = drawn_galleries(gallery, searched, threshold, fitted)
    assert [one.size for one in drawn] == [100, 200, 400]
    for one in drawn:
        _, low, high = one.predicted
        assert low <= one.measured <= high
    assert drawn[0].measured < drawn[2].measured


def test_too_few_people_have_no_tail():
    random = np.random.default_rng(9)
    gallery = Gallery(unit_rows(random.standard_normal((5, 8)).astype(np.float32)), np.arange(5))
    vectors = unit_rows(random.standard_normal((100, 8)).astype(np.float32))
    _, tail = search(gallery, Probes(vectors, 5 + np.arange(100), np.ones(100, bool)))
    assert fit_tail(tail) is None
