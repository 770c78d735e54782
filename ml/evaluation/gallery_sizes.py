"""Smaller galleries, drawn from the one there is: a check of what the tail says of sizes. Pure."""

from dataclasses import dataclass

import numpy as np

from ml.evaluation.impostor_tail import FittedTail
from ml.evaluation.open_set import Gallery, Probes, search

_DRAWS = 10
_SEED = 3
_SHARES = (0.25, 0.5, 1.0)
_LEAST_SIZE = 5


@dataclass(frozen=True, slots=True)
class DrawnGalleries:
    """FPIR in galleries of a size, with the threshold alone.

    Attributes:
        size: number of templates.
        measured: the mean over galleries drawn, 0 to 1.
        predicted: by the tail, with its 95 % interval; None without a tail.
    """

    size: int
    measured: float
    predicted: tuple[float, float, float] | None


def drawn_galleries(
    gallery: Gallery, probes: Probes, threshold: float, tail: FittedTail | None
) -> list[DrawnGalleries]:
    """Draw a quarter and a half of the enrolled people, and search among them; then among all.

    Args:
        gallery: everyone enrolled.
        probes: of enrolled and unknown people; enrolled ones are left out for their own.
        threshold: a cosine.
        tail: what is checked.
    """
    random = np.random.default_rng(_SEED)
    total = len(gallery.owners)
    found = []
    for share in _SHARES:
        size = round(share * total)
        if size < _LEAST_SIZE:
            continue
        shares = []
        for _ in range(1 if size == total else _DRAWS):
            chosen = np.sort(random.choice(total, size, replace=False))
            part = Gallery(gallery.templates[chosen], gallery.owners[chosen])
            trials, _ = search(part, probes)
            shares.append(float((trials.named_wrongly(0.0) >= threshold).mean()))
        predicted = tail.fpir(threshold, size) if tail else None
        found.append(DrawnGalleries(size, float(np.mean(shares)), predicted))
    return found
