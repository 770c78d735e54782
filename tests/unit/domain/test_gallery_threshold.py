"""The threshold that a gallery needs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.decisions.gallery_threshold import ImpostorTail

TAILS = st.builds(ImpostorTail, st.floats(-0.1, 0.3), st.floats(0.02, 0.12))
FPIRS = st.floats(0.0005, 0.5)
SIZES = st.integers(1, 1_000_000)


@given(TAILS, FPIRS, SIZES)
@settings(max_examples=100)
def test_the_threshold_has_the_fpir(tail, fpir, size):
    threshold = tail.threshold(fpir, size)
    assert -1 <= threshold <= 1
    if abs(threshold) < 1:
        assert tail.fpir(threshold, size) == pytest.approx(fpir, rel=1e-3)
    else:
        assert (tail.fpir(threshold, size) >= fpir * 0.999) == (threshold == 1)


@given(TAILS, FPIRS, SIZES, SIZES)
@settings(max_examples=100)
def test_a_larger_gallery_never_has_a_lower_threshold(tail, fpir, one, two):
    smaller, larger = sorted((one, two))
    assert tail.threshold(fpir, smaller) <= tail.threshold(fpir, larger)
    assert tail.fpir(0.4, smaller) <= tail.fpir(0.4, larger)


def test_an_empty_gallery_has_the_threshold_of_one_person():
    tail = ImpostorTail(0.1, 0.08)
    assert tail.threshold(0.01, 0) == tail.threshold(0.01, 1)


def test_every_comparison_reaches_the_lowest_threshold():
    tail = ImpostorTail(0.1, 0.001)
    assert tail.fpir(-1.0, 1000) == pytest.approx(1.0)
