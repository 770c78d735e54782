"""Threshold and margin together: what they cost, and which ones to use. Pure."""

from dataclasses import dataclass

import numpy as np

from domain.decisions.matching import MatchPolicy
from ml.evaluation.error_rates import OperatingPoint, Scores, curve_of, operating_point
from ml.evaluation.open_set import Floats, Ints, Trials
from ml.evaluation.people_bootstrap import Estimate, percentiles, share_of

MARGINS = tuple(round(0.01 * step, 2) for step in range(16))
THRESHOLDS = tuple(round(0.30 + 0.02 * step, 2) for step in range(21))


@dataclass(frozen=True, slots=True, eq=False)
class Trialled:
    """The trials of enrolled people, and of people as if they were not enrolled.

    Attributes:
        known: probes of enrolled people.
        unknown: probes of unknown people, and of enrolled ones who are left out.
        columns: by number of person, the column of the draws.
        drawn: from `people_bootstrap.draw_people`.
    """

    known: Trials
    unknown: Trials
    columns: Ints
    drawn: Floats

    def accepted(self, margin: float) -> Scores:
        """Up to which threshold enrolled people are identified."""
        return Scores(self.known.accepted(margin), self.columns[self.known.people])

    def named(self, margin: float) -> Scores:
        """Up to which threshold unknown people are taken for someone."""
        return Scores(self.unknown.named_wrongly(margin), self.columns[self.unknown.people])

    def fpir(self, policy: MatchPolicy) -> Estimate:
        """The share of the probes of unknown people that are identified as anyone."""
        scores = self.named(policy.margin)
        return share_of(scores.scores >= policy.threshold, scores.people, self.drawn)

    def fnir(self, policy: MatchPolicy) -> Estimate:
        """The share of the probes of enrolled people that are not identified as them."""
        scores = self.accepted(policy.margin)
        return share_of(scores.scores < policy.threshold, scores.people, self.drawn)


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """Error rates by threshold and margin.

    Attributes:
        thresholds: (T,).
        margins: (K,).
        fpir: (K, T), 0 to 1.
        fnir: (K, T), 0 to 1.
    """

    thresholds: Floats
    margins: Floats
    fpir: Floats
    fnir: Floats


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The threshold and margin for an FPIR.

    Attributes:
        margin: the one of before, unless another has a lower FNIR beyond its interval.
        point: threshold and FNIR, with intervals.
        fpir: what the FPIR is there, with its interval.
    """

    margin: float
    point: OperatingPoint
    fpir: Estimate


def sweep(
    trials: Trialled,
    thresholds: tuple[float, ...] = THRESHOLDS,
    margins: tuple[float, ...] = MARGINS,
) -> Sweep:
    """Error rates at each threshold with each margin."""
    fpir = np.zeros((len(margins), len(thresholds)))
    fnir = np.zeros_like(fpir)
    for row, margin in enumerate(margins):
        wrong, right = trials.named(margin).scores, trials.accepted(margin).scores
        for column, threshold in enumerate(thresholds):
            fpir[row, column] = (wrong >= threshold).mean() if wrong.size else np.nan
            fnir[row, column] = (right < threshold).mean() if right.size else np.nan
    return Sweep(np.array(thresholds), np.array(margins), fpir, fnir)


def recommend(
    trials: Trialled, fpir: float, margin: float, margins: tuple[float, ...] = MARGINS
) -> Recommendation:
    """The threshold and margin with the lowest FNIR at an FPIR.

    Differences between margins are mostly chance. So the present margin stays, unless the 95 %
    interval of the difference in FNIR, of the same people drawn, is below zero.

    Args:
        trials: of at least one known and one unknown person.
        fpir: wanted, more than 0.
        margin: the present one.
        margins: others that may be recommended.
    """
    wanted = np.array([fpir])

    def fnirs(other: float) -> Floats:
        curve = curve_of(trials.accepted(other), trials.named(other), wanted, trials.drawn)
        return curve.fnirs[:, 0]

    present = fnirs(margin)
    best, best_fnir = margin, float(present[0])
    people = min(trials.accepted(margin).count, trials.named(margin).count)
    for other in margins:
        found = fnirs(other)
        _, highest = percentiles(found[1:] - present[1:], people)
        if highest < 0 and found[0] < best_fnir:
            best, best_fnir = other, float(found[0])
    point = operating_point(trials.accepted(best), trials.named(best), fpir, trials.drawn)
    return Recommendation(best, point, trials.fpir(MatchPolicy(point.threshold, best)))
