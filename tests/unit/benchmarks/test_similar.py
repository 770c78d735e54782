import numpy as np

from benchmarks.gallery.similar import Sightings, draw, nearest, recalls
from benchmarks.gallery.templates import Statistics


def test_drawn_sightings_are_the_same_again_and_those_of_a_person_are_alike():
    one, other = (draw(Statistics.isotropic(64), 600, 20, 10) for _ in range(2))
    np.testing.assert_array_equal(one.embeddings, other.embeddings)
    np.testing.assert_array_equal(one.probes, other.probes)
    assert one.people.max() < 30
    for probe in one.probes:
        best = nearest(one, int(probe), 5, 1.0)
        assert probe not in best
        assert (one.people[best] == one.people[probe]).mean() >= 0.6


def test_the_last_share_of_the_time_has_the_last_rows():
    sightings = draw(Statistics.isotropic(8), 100, 10, 5)
    assert set(nearest(sightings, 0, 50, 0.1)) == set(range(90, 100))
    assert sightings.at(sightings.first_of(0.1)) > sightings.at(89)


def test_recall_counts_what_is_found_and_what_of_it_shows_the_person():
    sightings = Sightings(np.zeros((6, 2), np.float32), np.array([0, 0, 0, 1, 1, 1]), np.array([0]))
    truth = [np.array([1, 2, 3, 4])]
    assert recalls(sightings, truth, [np.array([1, 3, 5])]) == {
        "recall": 0.5,
        "recall_of_person": 0.5,
    }
    assert recalls(sightings, truth, [np.array([1, 2, 5])])["recall_of_person"] == 1.0
