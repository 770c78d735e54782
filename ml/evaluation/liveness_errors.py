"""Errors of presentation attack detection, in the terms of ISO/IEC 30107-3. Pure.

APCER: the share of attack presentations of one kind that are taken for bona fide ones. BPCER: the
share of bona fide presentations that are taken for attacks. Presentations of which the model was
not asked are in neither: their shares are APNRR and BPNRR (non-response rates). A system is as good
as against the attack that it is worst at, so one threshold has to hold for every kind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log, nextafter, sqrt

import numpy as np
from numpy.typing import NDArray

from ml.evaluation.open_set import Bools
from ml.evaluation.people_bootstrap import draw_people, share_of

Scores = NDArray[np.float64]

#: Two-sided 95 % quantile of the normal distribution.
_Z = 1.959963984540054

#: Of fewer presentations no rate is given: its interval would be half as wide as all there is.
LEAST_PRESENTATIONS = 10


@dataclass(frozen=True, slots=True)
class Presentations:
    """The presentations of one kind: bona fide, or one kind of attack.

    Attributes:
        scores: (N,): the model's probability of a person, of those that it was asked about.
        not_answered: of how many it was not asked.
        subjects: whom or which clip each score is of; empty where that is not known, and each
            presentation counts as one of its own.
        subjects_not_answered: the same of those that it was not asked about.
    """

    scores: Scores
    not_answered: int = 0
    subjects: Sequence[str] = ()
    subjects_not_answered: Sequence[str] = ()

    @property
    def independent(self) -> int:
        """How many scores are of different subjects."""
        return len(set(self.subjects)) if self.subjects else self.scores.size


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with its 95 % interval, which also holds where there is no error.

    It is that of Wilson (1927), of presentations; where subjects are known, of `people_bootstrap`,
    because the presentations of one subject are alike.

    Attributes:
        errors: how many.
        number: of how many.
        low: of the interval.
        high: of the interval.
        subjects: how many subjects these are of; None where that is not known.
    """

    errors: int
    number: int
    low: float
    high: float
    subjects: int | None = None

    @property
    def value(self) -> float | None:
        """The share; None of too few."""
        return self.errors / self.number if self.number >= LEAST_PRESENTATIONS else None


@dataclass(frozen=True, slots=True)
class LivenessErrors:
    """The errors at a threshold.

    Attributes:
        threshold: the least score of a person.
        apcer: by kind of attack.
        bpcer: of bona fide presentations.
        apnrr: by kind of attack.
        bpnrr: of bona fide presentations.
    """

    threshold: float
    apcer: Mapping[str, Rate]
    bpcer: Rate
    apnrr: Mapping[str, Rate]
    bpnrr: Rate

    @property
    def worst_apcer(self) -> float | None:
        """The greatest APCER of any kind of attack; None if one has too few presentations."""
        values = [one.value for one in self.apcer.values()]
        known = [one for one in values if one is not None]
        return max(known) if values and len(known) == len(values) else None


def rate_of(errors: int, number: int) -> Rate:
    """A share with its interval."""
    if number == 0:
        return Rate(0, 0, 0.0, 1.0)
    share, square = errors / number, _Z**2
    centre = (share + square / (2 * number)) / (1 + square / number)
    spread = _Z * sqrt(share * (1 - share) / number + square / (4 * number**2))
    half = spread / (1 + square / number)
    # Without these, rounding errors move the ends of no and of all errors.
    low = 0.0 if errors == 0 else max(0.0, centre - half)
    high = 1.0 if errors == number else min(1.0, centre + half)
    return Rate(errors, number, low, high)


def rate_by_subject(hits: Bools, subjects: Sequence[str]) -> Rate:
    """A share with its interval over subjects.

    Args:
        hits: (N,): which presentations are errors.
        subjects: whose each one is; empty: each is of another one.
    """
    errors, number = int(hits.sum()), len(hits)
    if not subjects:
        return rate_of(errors, number)
    names, places = np.unique(np.array(subjects), return_inverse=True)
    found = share_of(hits, places, draw_people(np.ones(len(names), np.bool_)))
    return Rate(errors, number, found.low, found.high, len(names))


def errors_at(
    threshold: float, bona_fide: Presentations, attacks: Mapping[str, Presentations]
) -> LivenessErrors:
    """The errors at a threshold: what has at least this score is taken for a person."""
    return LivenessErrors(
        threshold=threshold,
        apcer={
            name: rate_by_subject(one.scores >= threshold, one.subjects)
            for name, one in attacks.items()
        },
        bpcer=rate_by_subject(bona_fide.scores < threshold, bona_fide.subjects),
        apnrr={name: _non_response(one) for name, one in attacks.items()},
        bpnrr=_non_response(bona_fide),
    )


def presentations_needed(apcer: float) -> int:
    """How many attacks of a kind, of different subjects, must be seen to claim such an APCER.

    If that many are seen without an error, a greater APCER is unlikely at 95 % (the rule of three).
    """
    return ceil(log(0.05) / log(1 - apcer))


def threshold_for(apcer: float, attacks: Mapping[str, Presentations]) -> float | None:
    """The lowest threshold at which no kind of attack has a greater APCER.

    Args:
        apcer: the wanted one, more than 0 and less than 1.
        attacks: by kind.

    Returns:
        None if there is no attack, or of one kind too few (`presentations_needed`).
    """
    needed = presentations_needed(apcer)
    if not attacks or any(one.independent < needed for one in attacks.values()):
        return None
    return max(_above(one.scores, int(apcer * one.scores.size)) for one in attacks.values())


def _above(scores: Scores, allowed: int) -> float:
    """The lowest threshold that not more than so many of these scores reach."""
    highest = np.sort(scores)[::-1]
    return nextafter(float(highest[allowed]), 2.0)


def _non_response(presentations: Presentations) -> Rate:
    missing, answered = presentations.not_answered, presentations.scores.size
    hits = np.arange(missing + answered) < missing
    return rate_by_subject(hits, [*presentations.subjects_not_answered, *presentations.subjects])
