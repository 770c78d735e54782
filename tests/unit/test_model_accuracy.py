"""What another precision does to decisions, counted on embeddings whose outcome is known."""

import numpy as np

from infra.models.accuracy import accuracy

AXES = np.eye(8, dtype=np.float32)
#: Two people with two faces each, three with one.
PEOPLE = np.array(["a", "a", "b", "b", "c", "d", "e"])
FACES = AXES[[0, 0, 1, 1, 2, 3, 4]]


def test_the_same_embeddings_change_nothing():
    found = accuracy(FACES, FACES, PEOPLE)
    assert found["cosine_least"] == found["cosine_mean"] == 1
    assert (found["tar"], found["fnir"]) == (100, 0)
    assert found["tar_change_low"] == found["tar_change_high"] == 0
    assert found["fnir_change_low"] == found["fnir_change_high"] == 0


def test_a_probe_that_turned_into_another_person_is_missed():
    probes = FACES.copy()
    probes[1] = AXES[1]  # a's second face now is b's
    found = accuracy(FACES + 1e-3, probes, PEOPLE)
    assert found["cosine_least"] < 0.1
    assert found["tar"] == 75  # of two ordered pairs of each
    assert found["fnir"] == 50  # of one probe of each
    assert found["tar_change_low"] < 0 < found["fnir_change_high"]
    assert found["far_1e-4"] > 0


def test_what_the_faces_do_not_show_is_left_out():
    assert "fnir" not in accuracy(FACES[:4], FACES[:4], PEOPLE[:4])  # no unknown
    assert "tar" in accuracy(FACES[:4], FACES[:4], PEOPLE[:4])
    assert "tar" not in accuracy(FACES[:2], FACES[:2], PEOPLE[:2])  # one person
    assert "tar" not in accuracy(FACES[4:], FACES[4:], PEOPLE[4:])  # no pair
