"""Larger galleries than there are photos for, by the extreme values of impostor scores. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from domain.decisions.gallery_threshold import ImpostorTail
from ml.evaluation.open_set import Floats, Tail
from ml.evaluation.people_bootstrap import percentiles

#: Fewest comparisons that a tail is fitted to, and fewest people on each side of them.
LEAST_COMPARISONS = 50
LEAST_PEOPLE = 10

_DRAWS = 200
_SEED = 2
_LEAST_SCALE = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class FittedTail:
    """A tail, and what it is in the draws of a bootstrap.

    Attributes:
        tail: of the data itself.
        drawn: of each draw.
        people: the smaller of the numbers of people on either side of the comparisons.
    """

    tail: ImpostorTail
    drawn: tuple[ImpostorTail, ...]
    people: int

    def fpir(self, threshold: float, size: int) -> tuple[float, float, float]:
        """FPIR in a gallery of this size, and its 95 % interval."""
        return self._with_interval(lambda tail: tail.fpir(threshold, size))

    def threshold(self, fpir: float, size: int) -> tuple[float, float, float]:
        """The threshold for an FPIR in a gallery of this size, and its 95 % interval."""
        return self._with_interval(lambda tail: tail.threshold(fpir, size))

    def _with_interval(self, of: Callable[[ImpostorTail], float]) -> tuple[float, float, float]:
        value = of(self.tail)
        low, high = percentiles(np.array([of(one) for one in self.drawn]), self.people)
        return value, min(low, value), max(high, value)


def fit_tail(tail: Tail, draws: int = _DRAWS) -> FittedTail | None:
    """Fit the tail of a normal distribution to the highest impostor comparisons.

    A straight line on a normal probability plot (J. M. Chambers et al., "Graphical Methods for Data
    Analysis", 1983, chapter 6), by least squares, where a score counts by the root of its
    distance from the top. Cosines of unlike embeddings are nearly normal, and extremes of a
    normal distribution approach their limit slowly (R. A. Fisher and L. H. C. Tippett, "Limiting
    forms of the frequency distribution of the largest or smallest member of a sample", 1928): the
    limit, a generalised Pareto distribution, gives too low thresholds for large galleries.

    In the bootstrap, people are drawn with repetition, and a comparison counts as often as both its
    people were drawn (A. B. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007):
    other galleries have other people on both sides. Its intervals are rather too wide.

    Args:
        tail: of the search.
        draws: number of draws.

    Returns:
        None where there is too little data.
    """
    people = min(len(np.unique(tail.probes)), len(np.unique(tail.owners)))
    if len(tail.scores) < LEAST_COMPARISONS or people < LEAST_PEOPLE:
        return None
    random = np.random.default_rng(_SEED)
    falling = np.argsort(-tail.scores, kind="stable")
    scores, probes, owners = tail.scores[falling], tail.probes[falling], tail.owners[falling]
    everyone = np.union1d(tail.searched, tail.enrolled)
    times = np.zeros(int(everyone.max()) + 1)
    found = [_fit(scores, np.ones(len(scores)), tail.total)]
    for _ in range(draws):
        times[everyone] = random.multinomial(
            len(everyone), np.full(len(everyone), 1 / len(everyone))
        )
        found.append(_fit(scores, times[probes] * times[owners], tail.total))
    first, *others = found
    drawn = tuple(one for one in others if one is not None)
    return FittedTail(first, drawn, people) if first is not None and drawn else None


def _fit(falling: Floats, weights: Floats, total: int) -> ImpostorTail | None:
    """Fit one distribution to scores in falling order; None where they tell nothing."""
    counted = weights > 0
    passed = (np.cumsum(weights) - weights / 2)[counted]
    shares = passed / total
    if not passed.size or shares[-1] >= 1:
        return None
    inverse = NormalDist().inv_cdf
    places = -np.array([inverse(share) for share in shares.tolist()])
    scores, worth = falling[counted], weights[counted] / np.sqrt(passed)
    middle, mean = np.average(places, weights=worth), np.average(scores, weights=worth)
    spread = float(worth @ (places - middle) ** 2)
    if spread <= 0:
        return None
    scale = float(worth @ ((places - middle) * (scores - mean))) / spread
    scale = max(scale, _LEAST_SCALE)
    return ImpostorTail(float(mean - scale * middle), scale)
