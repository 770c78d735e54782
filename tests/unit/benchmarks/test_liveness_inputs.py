"""What the benchmark of liveness inputs makes of pictures."""

import numpy as np
import pytest

from benchmarks.inference.liveness_inputs import (
    NO_LIMITS,
    Shown,
    conditions,
    results_of,
    worsened,
)
from domain.decisions.liveness import is_acceptable
from ml.liveness.face_squares import face_square

SIZE, CROP = 64, 1.5
BOX = np.array([100, 80, 80, 100], np.float32)


def shown(side=CROP * 100, brightness=120):
    image = np.full((300, 300, 3), brightness, np.uint8)
    return Shown(image, BOX, side)


@pytest.mark.parametrize(("name", "level"), list(conditions()))
def test_a_picture_is_as_bad_as_it_should_be(name, level):
    made = worsened(shown(), name, level, SIZE)
    assert made is not None
    _, measures = face_square(made.image, made.box, CROP, SIZE)
    assert is_acceptable(measures, NO_LIMITS)
    expected = {"outside": 0.0, "enlargement": SIZE / (CROP * 100), "brightness": 120.0}
    if name in expected:
        expected[name] = level
    assert measures.outside == pytest.approx(expected["outside"], abs=0.02)
    assert measures.enlargement == pytest.approx(expected["enlargement"], rel=0.05)
    assert measures.brightness == pytest.approx(expected["brightness"], abs=1)


def test_what_is_worse_already_is_left_out():
    assert worsened(shown(brightness=30), "brightness", 40.0, SIZE) is None
    small = Shown(np.zeros((30, 30, 3), np.uint8), BOX / 10, 15.0)
    assert worsened(small, "enlargement", 1.0, SIZE) is None


def test_values_are_of_people_and_the_worst_attack():
    found = results_of({"a 1": [0.9, 0.4], "b 1": []}, {"a 1": [0.1, 0.2]}, 0.5)
    (one,) = found
    assert one.case == {"people": 2, "attacks": 2}
    assert (one.values["bpcer_percent"], one.values["highest_attack"]) == (50.0, 0.2)
