import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.recognition.face_quality import QualityReport, assess
from ml.tracking.seen_faces import EVIDENCE

#: Below this quality an embedding does not tell people apart (`ml.tracking.seen_faces.EVIDENCE`).
GOOD_ENOUGH = EVIDENCE
GOOD = QualityReport(
    face_pixels=120,
    sharpness=300,
    brightness=120,
    contrast=50,
    asymmetry=0.05,
    eye_mouth_ratio=1.0,
    detector_score=0.93,
)
FRONTAL = np.array([[40, 50], [72, 50], [56, 70], [42, 92], [70, 92]], np.float32)
BOX = np.array([0, 0, 100, 130], np.float32)


def qualities(analyser, portraits, change):
    """Quality of the largest face of each changed picture; 0 where none is found any more."""
    from tests.unit.ml.conftest import read

    scores = []
    for path in portraits[::3]:
        (faces,) = analyser.analyse([change(read(path))])
        faces.sort(key=lambda face: face.box[2])
        scores.append(faces[-1].quality.score if faces else 0.0)
    return np.array(scores)


def test_the_labelled_faces_pass(analyser, portraits):
    scores = qualities(analyser, portraits, lambda image: image)
    assert (scores >= GOOD_ENOUGH).mean() > 0.93
    assert np.median(scores) > 0.8


@pytest.mark.parametrize(
    ("spoil", "share"),
    [
        (lambda image: cv2.GaussianBlur(image, (0, 0), max(image.shape) / 80), 0.95),
        (lambda image: (image * 0.08).astype(np.uint8), 0.95),
        (lambda image: cv2.add(image, np.full_like(image, 190)), 0.85),
        (lambda image: cv2.resize(image, None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA), 0.95),
    ],
    ids=["blurred", "dark", "burnt out", "tiny"],
)
def test_spoilt_faces_fail(analyser, portraits, spoil, share):
    assert (qualities(analyser, portraits, spoil) < GOOD_ENOUGH).mean() >= share


@pytest.mark.parametrize(
    ("landmarks", "passes"),
    [
        (FRONTAL, True),
        (np.where(np.arange(5)[:, None] == 2, FRONTAL + np.float32(6), FRONTAL), True),
        ([[60, 50], [75, 50], [78, 70], [62, 92], [74, 92]], False),  # profile
        (np.zeros((5, 2)), False),
    ],
    ids=["frontal", "turned a little", "profile", "no pose"],
)
def test_pose(landmarks, passes):
    face = np.random.default_rng(0).integers(60, 200, (112, 112, 3)).astype(np.uint8)
    report = assess(BOX, np.array(landmarks, np.float32), face, 0.9)
    assert (report.parts["frontality"] >= GOOD_ENOUGH) == passes


@given(st.floats(-3.1, 3.1), st.floats(0.3, 3))
def test_tilt_and_scale_are_no_pose(angle, scale):
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    face = np.zeros((112, 112, 3), np.uint8)
    turned = assess(BOX, (FRONTAL @ turn.T).astype(np.float32), face, 0.9)
    plain = assess(BOX, FRONTAL, face, 0.9)
    assert turned.asymmetry == pytest.approx(plain.asymmetry, abs=1e-3)
    assert turned.eye_mouth_ratio == pytest.approx(plain.eye_mouth_ratio, abs=1e-3)


@given(
    st.builds(
        QualityReport,
        face_pixels=st.floats(0, 4000),
        sharpness=st.floats(0, 1e5),
        brightness=st.floats(0, 255),
        contrast=st.floats(0, 128),
        asymmetry=st.floats(0, 50),
        eye_mouth_ratio=st.floats(0, 50),
        detector_score=st.floats(0, 1),
    )
)
def test_the_score_is_that_of_the_weakest_part(report):
    assert 0 <= report.score <= 1
    assert report.score == min(report.parts.values())


@pytest.mark.parametrize(
    ("measure", "worse", "part"),
    [
        ("face_pixels", 24, "size"),
        ("sharpness", 12, "sharpness"),
        ("brightness", 20, "exposure"),
        ("brightness", 240, "exposure"),
        ("contrast", 8, "exposure"),
        ("asymmetry", 0.55, "frontality"),
        ("eye_mouth_ratio", 0.45, "frontality"),
        ("detector_score", 0.55, "detection"),
        ("upright_margin", -0.03, "uprightness"),
    ],
)
def test_each_measure_counts(measure, worse, part):
    assert GOOD.score == 1
    spoilt = QualityReport(**(GOOD.measures() | {measure: worse}))
    assert spoilt.score < GOOD_ENOUGH
    assert spoilt.score == spoilt.parts[part]
    assert spoilt.measures()[measure] == worse
