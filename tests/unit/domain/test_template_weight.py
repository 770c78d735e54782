import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.decisions.template_weight import FULL, template_weight

quality = st.floats(0, 1)


@given(quality, quality)
def test_a_better_photo_never_counts_for_less(one, other):
    low, high = sorted((one, other))
    assert 0.15 <= template_weight(low) <= template_weight(high) <= FULL


@pytest.mark.parametrize(
    ("worth", "weight"),
    [(0, 0.15), (0.05, 0.45), (0.325, 0.725), (0.6, 1.0), (1, 1.0), (-0.1, 0.15), (1.1, 1.0)],
)
def test_weights_are_those_that_were_measured(worth, weight):
    assert template_weight(worth) == pytest.approx(weight)
