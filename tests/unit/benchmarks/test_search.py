import numpy as np

from benchmarks.gallery.search import quality
from benchmarks.gallery.templates import Population, Statistics, brute_force, draw


def test_a_drawn_gallery_is_the_same_again_and_holds_who_is_looked_for():
    one, other = (draw(Statistics.isotropic(64), 500, 100) for _ in range(2))
    np.testing.assert_array_equal(one.templates, other.templates)
    np.testing.assert_array_equal(one.probes, other.probes)
    enrolled = one.people >= 0
    assert enrolled.sum() == 90
    assert len(one.probes) == 100
    truth = brute_force(one)
    np.testing.assert_array_equal(truth, (one.probes @ one.templates.T).argmax(1))
    assert (truth[enrolled] == one.people[enrolled]).mean() > 0.9


def test_quality_counts_misses_wrong_people_and_unknown_people():
    people = np.array([0, 1, 2, 3, -1, -1])
    population = Population(np.zeros((4, 2), np.float32), np.zeros((6, 2), np.float32), people)
    truth = np.array([0, 1, 2, 3, 0, 1])
    found = np.array([0, 1, 3, 3, 0, 2])
    scores = np.array([0.9, 0.4, 0.9, 0.8, 0.5, 0.3], np.float32)
    measured = quality(population, truth, found, scores)
    assert measured["recall_at_1"] == 4 / 6
    assert measured["rank_1"] == 3 / 4
    # The most similar unknown face sets the threshold, 0.5: the second is missed, the third wrong.
    assert measured["fnir_at_fpir_1"] == 0.5
