"""The threshold that a gallery needs, from how high impostors score. Pure functions.

A probe of an unknown person is compared with every template. If a comparison reaches a threshold
with some probability, the more templates there are, the more often one of them does. So an FPIR
needs a higher threshold in a larger gallery.
"""

from dataclasses import dataclass
from math import erfc, expm1, log1p, sqrt
from statistics import NormalDist

#: Below it the logarithm of what is left of a certain event is a number.
_NEARLY_CERTAIN = 1 - 1e-12


@dataclass(frozen=True, slots=True)
class ImpostorTail:
    """How high a probe scores on a template of another person, at the upper end.

    There it is as the tail of this normal distribution. `ml.evaluation.impostor_tail` fits it.

    Attributes:
        location: of the distribution, a cosine.
        scale: of the distribution, more than 0.
    """

    location: float
    scale: float

    def reaching(self, threshold: float) -> float:
        """The share of comparisons at or above a threshold."""
        return erfc((threshold - self.location) / (self.scale * sqrt(2))) / 2

    def fpir(self, threshold: float, size: int) -> float:
        """The share of the probes of unknown people that reach a threshold in a gallery.

        Args:
            threshold: cosine.
            size: number of templates.
        """
        return -expm1(size * log1p(-min(self.reaching(threshold), _NEARLY_CERTAIN)))

    def threshold(self, fpir: float, size: int) -> float:
        """The threshold with this FPIR in a gallery, at most 1 and at least -1.

        Args:
            fpir: more than 0, less than 1.
            size: number of templates; fewer than one count as one.
        """
        share = -expm1(log1p(-fpir) / max(size, 1))
        threshold = self.location - self.scale * NormalDist().inv_cdf(share)
        return min(max(threshold, -1.0), 1.0)
