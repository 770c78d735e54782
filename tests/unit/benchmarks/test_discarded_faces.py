"""What the benchmark of the quality score counts, with made-up faces."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.inference.discarded_faces import Probe, by_way, curves, is_error, templates, ways
from domain.decisions.matching import MatchPolicy
from ml.recognition.face_analyser import AnalysedFace
from ml.recognition.face_quality import QualityReport

AXES = np.eye(4, dtype=np.float32)
POLICY = MatchPolicy(0.5, 0.05)
PEOPLE = ["ada", "ada", "bea", "bea", "cid"]
EMBEDDINGS = AXES[[0, 0, 1, 1, 2]]
GOOD = QualityReport(80, 200, 120, 40, 0.0, 1.0, 0.9)


def probe(place, embedding, way="as it is", **quality):
    report = replace(GOOD, **quality)
    face = AnalysedFace(np.zeros(4), np.zeros((5, 2)), 0.9, report, embedding, b"")
    return Probe(place, way, face)


def test_a_person_with_one_picture_is_in_no_template():
    names, rows = templates(EMBEDDINGS, PEOPLE, PEOPLE)
    assert names == ["ada", "bea"]
    assert np.allclose(rows, AXES[:2])


@pytest.mark.parametrize(
    ("embedding", "error"),
    [(AXES[0], False), (AXES[1], True), (AXES[3], True), ((AXES[0] + AXES[1]) / 2**0.5, True)],
    ids=["own", "another's", "nothing", "between"],
)
def test_a_probe_is_an_error_unless_it_is_its_persons(embedding, error):
    assert is_error(probe(0, embedding), EMBEDDINGS, PEOPLE, POLICY) is error


def test_its_own_picture_is_in_no_template():
    embeddings = EMBEDDINGS.copy()
    embeddings[1] = AXES[3]
    assert is_error(probe(0, AXES[0]), embeddings, PEOPLE, POLICY)
    assert not is_error(probe(1, AXES[0]), embeddings, PEOPLE, POLICY)


def test_a_measure_that_predicts_errors_has_a_falling_curve():
    probes = [probe(0, AXES[0], sharpness=200 if good else 12) for good in [True] * 8 + [False] * 2]
    errors = np.array([False] * 8 + [True] * 2)
    found = {one.subject: list(one.values.values()) for one in curves(probes, errors)}
    assert found["best"] == found["score"] == found["sharpness"]
    assert found["score"] == pytest.approx([20, 20, 100 / 9, 0, 0, 0])
    assert found["none"] == found["size"] == pytest.approx([20] * 6)


def test_shares_of_each_way_and_pictures_without_a_face():
    probes = [probe(0, AXES[0]), probe(2, AXES[1]), probe(0, AXES[0], "blur of 0.02")]
    found = {one.subject: one.values for one in by_way(probes, np.array([True, False, True]), 2)}
    assert set(found) == {"as it is", "blur of 0.02"}
    assert (found["as it is"]["fnir"], found["as it is"]["no_face"]) == (50, 0)
    assert (found["blur of 0.02"]["fnir"], found["blur of 0.02"]["no_face"]) == (100, 50)


@pytest.mark.parametrize("way", ways())
def test_each_way_makes_a_picture(way):
    image = np.full((100, 120, 3), 200, np.uint8)
    made = ways()[way](image, 60.0)
    assert made.dtype == np.uint8
    size = int(way.split()[2]) if way.startswith("face") else 60
    assert made.shape == (round(100 * size / 60), round(120 * size / 60), 3)
    if way.startswith("brightness"):
        assert made.mean() == pytest.approx(200 * float(way.split()[1]), abs=2)
