"""FNIR at an FPIR, with the threshold that is set for it again in each draw. Pure."""

from dataclasses import dataclass
from math import ceil

import numpy as np

from ml.evaluation.open_set import Floats, Ints
from ml.evaluation.people_bootstrap import percentiles, share_of, wilson

#: Without this many false positives among the unknown people, one each, no threshold for an FPIR
#: can be estimated.
_LEAST_FALSE_POSITIVES = 3


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Up to which threshold probes are identified.

    Attributes:
        scores: (M,) cosines; -inf where never.
        people: (M,); whose the probes are, as columns of the draws.
    """

    scores: Floats
    people: Ints

    @property
    def count(self) -> int:
        """Number of people."""
        return len(np.unique(self.people))


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """FNIR by FPIR in each draw; the first row is of the data itself.

    Attributes:
        fpirs: (K,).
        thresholds: (draws + 1, K): a probe is identified at or above it.
        fnirs: (draws + 1, K).
    """

    fpirs: Floats
    thresholds: Floats
    fnirs: Floats


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What an FPIR costs.

    Attributes:
        fpir: the one that was wanted, 0 to 1.
        threshold: the lowest one with at most this FPIR.
        threshold_interval: 95 %.
        fnir: 0 to 1.
        fnir_interval: 95 %.
    """

    fpir: float
    threshold: float
    threshold_interval: tuple[float, float]
    fnir: float
    fnir_interval: tuple[float, float]


def people_needed(fpir: float) -> int:
    """Number of unknown people from which on a threshold for an FPIR can be estimated."""
    return ceil(_LEAST_FALSE_POSITIVES / fpir - 1e-9)


def curve_of(known: Scores, unknown: Scores, fpirs: Floats, drawn: Floats) -> Curve:
    """FNIR at each FPIR.

    Args:
        known: probes of enrolled people; until which threshold they are identified as these.
        unknown: probes of people who are not enrolled; until which they are identified as any.
        fpirs: (K,), more than 0.
        drawn: from `draw_people`.
    """
    falling = np.argsort(-unknown.scores, kind="stable")
    scores, people = unknown.scores[falling], unknown.people[falling]
    rising = np.sort(known.scores)
    owners = known.people[np.argsort(known.scores, kind="stable")]
    thresholds = np.empty((len(drawn), len(fpirs)))
    fnirs = np.empty_like(thresholds)
    for row, times in enumerate(drawn):
        limits = limits_of(scores, times[people], fpirs)
        below = np.concatenate([[0.0], np.cumsum(times[owners])])
        thresholds[row] = limits
        fnirs[row] = below[np.searchsorted(rising, limits, side="left")] / max(below[-1], 1.0)
    return Curve(np.asarray(fpirs, np.float64), thresholds, fnirs)


def operating_point(known: Scores, unknown: Scores, fpir: float, drawn: Floats) -> OperatingPoint:
    """The threshold for an FPIR, and its FNIR, with intervals.

    That of the threshold is R. S. Woodruff's ("Confidence intervals for medians and other position
    measures", JASA 1952): the thresholds at the ends of the interval of the FPIR.

    Args:
        known: as for `curve_of`; at least one probe.
        unknown: as for `curve_of`; at least one probe.
        fpir: more than 0.
        drawn: from `draw_people`.
    """
    curve = curve_of(known, unknown, np.array([fpir]), drawn)
    threshold = float(curve.thresholds[0, 0])
    size = share_of(unknown.scores >= threshold, unknown.people, drawn).size
    low, high = wilson(fpir, size)
    falling = np.sort(unknown.scores)[::-1]
    lowest, highest = limits_of(falling, np.ones(len(falling)), np.array([high, low]))
    return OperatingPoint(
        fpir,
        threshold,
        (float(lowest), float(highest)),
        float(curve.fnirs[0, 0]),
        fnir_interval(curve, 0, known, unknown, drawn),
    )


def fnir_interval(
    curve: Curve, place: int, known: Scores, unknown: Scores, drawn: Floats
) -> tuple[float, float]:
    """The 95 % interval of a curve's FNIR: of the draws, and at least that of a fixed threshold.

    Where no probe is missed, no draw misses one either; the latter says what is not known.
    """
    low, high = percentiles(curve.fnirs[1:, place], min(known.count, unknown.count))
    fixed = share_of(known.scores < curve.thresholds[0, place], known.people, drawn)
    return min(low, fixed.low), max(high, fixed.high)


def limits_of(falling: Floats, weights: Floats, shares: Floats) -> Floats:
    """The lowest thresholds that at most these shares of the weights reach.

    Args:
        falling: (M,) scores in falling order.
        weights: (M,) of them, not negative.
        shares: (K,), 0 to 1.
    """
    passed = np.cumsum(weights)
    if not passed.size or passed[-1] <= 0:
        return np.full(len(shares), -1.0)
    place = np.searchsorted(passed, shares * passed[-1] + 1e-9, side="right")
    inside = np.minimum(place, len(falling) - 1)
    limits = np.where(place < len(falling), np.nextafter(falling[inside], 2.0), -1.0)
    return np.maximum(limits, -1.0)
