"""Intervals by a bootstrap over people: the photos of one person are not independent. Pure.

In each draw a person counts as often as they were drawn, with all their probes (the subset
bootstrap of Bolle, Ratha and Pankanti, "Error analysis of pattern recognition systems - the subsets
bootstrap", CVIU 2004). The gallery stays as it is: the rates are those of these enrolled people.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

from ml.evaluation.open_set import Bools, Floats, Ints

DRAWS = 1000
_SEED = 1

#: Two-sided 95 % quantile of the normal distribution.
_Z = 1.959963984540054

#: Shares that differ by less are equal, but for rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share, and the 95 % interval of what it is estimated for.

    Attributes:
        value: 0 to 1; None where nothing was there to be counted.
        low: of the interval.
        high: of the interval.
        people: number of people it is of.
        probes: number of probes.
        size: number of independent probes that would vary as much.
    """

    value: float | None
    low: float
    high: float
    people: int
    probes: int
    size: float = 0.0


def draw_people(known: Bools, draws: int = DRAWS, seed: int = _SEED) -> Floats:
    """Draw people with repetition, those enrolled and those unknown each among themselves.

    Args:
        known: (P,); whether a person is enrolled.
        draws: number of draws.
        seed: the same gives the same draws.

    Returns:
        (draws + 1, P): how often a person was drawn; in the first row each counts once.
    """
    random = np.random.default_rng(seed)
    times = np.ones((draws + 1, len(known)))
    for group in (np.flatnonzero(known), np.flatnonzero(~known)):
        if group.size:
            times[1:, group] = random.multinomial(
                group.size, np.full(group.size, 1 / group.size), draws
            )
    return times


def share_of(hits: Bools, people: Ints, drawn: Floats) -> Estimate:
    """The share of probes with some property.

    The interval is Wilson's, for the number of independent probes that would vary as much as the
    share does in the bootstrap, at most the number of people where nothing varies (N. Dean and M.
    Pagano, "Evaluating confidence interval methods for binomial proportions in clustered surveys",
    J. Survey Statistics and Methodology 2015). So it is right also where no probe has the property,
    or all have it.

    Args:
        hits: (M,); which probes have it.
        people: (M,); whose they are, as columns of the draws.
        drawn: from `draw_people`.
    """
    if not len(hits):
        return Estimate(None, 0.0, 1.0, 0, 0)
    width = drawn.shape[1]
    counts = np.bincount(people, minlength=width).astype(np.float64)
    found = np.bincount(people, weights=hits, minlength=width)
    present = int((counts > 0).sum())
    value = float(found.sum() / counts.sum())
    totals = drawn[1:] @ counts
    shares = (drawn[1:] @ found)[totals > 0] / totals[totals > 0]
    # Of n people drawn with repetition the variance is (n - 1) / n of what it should be.
    varies = len(shares) > 0 and float(np.ptp(shares)) > _ROUNDING
    spread = float(shares.var()) * present / max(present - 1, 1) if varies else 0.0
    size = min(value * (1 - value) / spread, float(len(hits))) if spread > 0 else float(present)
    return Estimate(value, *wilson(value, max(size, 1.0)), present, len(hits), max(size, 1.0))


def wilson(share: float, size: float) -> tuple[float, float]:
    """The 95 % interval of a share of independent trials (E. B. Wilson, JASA 1927).

    Args:
        share: 0 to 1.
        size: number of trials, more than 0; need not be whole.
    """
    shrink = 1 / (1 + _Z**2 / size)
    middle = (share + _Z**2 / (2 * size)) * shrink
    half = _Z * shrink * sqrt(share * (1 - share) / size + _Z**2 / (4 * size**2))
    low = max(0.0, float(middle - half)) if share > 0 else 0.0
    return low, min(1.0, float(middle + half)) if share < 1 else 1.0


def percentiles(values: Floats, people: int) -> tuple[float, float]:
    """The 95 % interval of what was found in the draws.

    For few people the percentiles are further out, as t's quantiles are than the normal ones (T. C.
    Hesterberg, "What teachers should know about the bootstrap", The American Statistician 2015,
    section 4.3); the quantile of t is by the expansion of Abramowitz and Stegun, 26.7.5.

    Args:
        values: one of each draw.
        people: number of people who were drawn, of the smaller group.
    """
    free = max(people - 1, 1)
    quantile = _Z + (_Z**3 + _Z) / (4 * free) + (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / (96 * free**2)
    wide = quantile * sqrt((free + 1) / free)
    outside = NormalDist().cdf(-wide)
    low, high = np.quantile(values, (outside, 1 - outside))
    return float(low), float(high)
