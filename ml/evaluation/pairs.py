"""Verification: are two photos of one person? FMR and FNMR of all pairs (ISO/IEC 19795-1). Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from domain.arrays import FloatArray
from ml.evaluation.error_rates import limits_of
from ml.evaluation.open_set import Floats, Ints
from ml.evaluation.people_bootstrap import percentiles, wilson

FMRS = (1e-2, 1e-3, 1e-4)

#: Impostor pairs that are kept, the highest ones: more than the highest FMR has in any draw.
_KEPT_SHARE = 0.05
_LEAST_KEPT = 1000
_CHUNK = 4_000_000
#: Fewest pairs of different people per false match that is looked for.
_LEAST_FALSE_MATCHES = 3


@dataclass(frozen=True, slots=True)
class PairRates:
    """How pairs of photos compare at a threshold.

    Attributes:
        wanted_fmr: the FMR that the threshold is set for; None where the threshold is given.
        threshold: two photos match at or above it; None where there is too little data.
        fmr: share of the pairs of different people that match, with its 95 % interval.
        fnmr: share of the pairs of one person that do not, the same.
        people: who have a photo.
        pairs_needed: of different people, for this FMR.
    """

    wanted_fmr: float | None
    threshold: float | None
    fmr: tuple[float, float, float] | None
    fnmr: tuple[float, float, float] | None
    people: int
    pairs_needed: int


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    genuine: Floats
    owners: Ints
    impostor: Floats
    first: Ints
    second: Ints
    counts: Floats

    def totals(self, drawn: Floats) -> Floats:
        """By draw, the weight of all impostor pairs."""
        weighted = drawn * self.counts
        return np.asarray((weighted.sum(axis=1) ** 2 - (weighted**2).sum(axis=1)) / 2)


def pair_rates(
    embeddings: FloatArray, people: Ints, threshold: float, drawn: Floats
) -> list[PairRates]:
    """FMR and FNMR at a threshold, then FNMR at each of `FMRS`.

    In a draw, a pair of different people counts as often as both were drawn.

    Args:
        embeddings: float32 (N, D) of length 1.
        people: (N,); whose each one is, as columns of the draws.
        threshold: a cosine.
        drawn: from `people_bootstrap.draw_people`.
    """
    pairs = _pairs(embeddings, people, drawn.shape[1])
    present = len(np.unique(people))
    different = present * (present - 1) // 2
    if not pairs.genuine.size or not different:
        return [PairRates(None, None, None, None, present, 1)]
    paired = len(np.unique(pairs.owners))
    totals = pairs.totals(drawn)
    fmr = np.empty(len(drawn))
    fnmr = np.empty((len(drawn), 1 + len(FMRS)))
    thresholds = np.empty((len(drawn), len(FMRS)))
    rising = np.argsort(pairs.genuine, kind="stable")
    genuine, owners = pairs.genuine[rising], pairs.owners[rising]
    reached = int(np.searchsorted(-pairs.impostor, -threshold, side="right"))
    for row, times in enumerate(drawn):
        weights = times[pairs.first] * times[pairs.second]
        fmr[row] = weights[:reached].sum() / totals[row] if totals[row] else 0.0
        scale = totals[row] / weights.sum() if weights.sum() else 0.0
        thresholds[row] = limits_of(pairs.impostor, weights, np.array(FMRS) * scale)
        below = np.concatenate([[0.0], np.cumsum(times[owners])])
        all_limits = np.array([threshold, *thresholds[row]])
        places = np.searchsorted(genuine, all_limits, side="left")
        fnmr[row] = below[places] / max(below[-1], 1.0)
    found = [
        PairRates(
            None,
            threshold,
            _with_interval(fmr, present),
            _with_interval(fnmr[:, 0], paired),
            present,
            1,
        )
    ]
    for place, wanted in enumerate(FMRS):
        needed = round(_LEAST_FALSE_MATCHES / wanted)
        if different < needed:
            found.append(PairRates(wanted, None, None, None, present, needed))
            continue
        found.append(
            PairRates(
                wanted,
                float(thresholds[0, place]),
                None,
                _with_interval(fnmr[:, 1 + place], paired),
                present,
                needed,
            )
        )
    return found


def _with_interval(values: Floats, people: int) -> tuple[float, float, float]:
    """Where no pair is an error, the people are what is known to be independent."""
    if not values.any():
        return (0.0, *wilson(0.0, people))
    low, high = percentiles(values[1:], people)
    return float(values[0]), low, high


def _pairs(embeddings: FloatArray, people: Ints, width: int) -> _Pairs:
    genuine: list[Floats] = []
    owners: list[Ints] = []
    kept: list[tuple[Floats, Ints, Ints]] = []
    count = len(people) * (len(people) - 1) // 2
    most = max(_LEAST_KEPT, round(_KEPT_SHARE * count))
    for scores, rows, columns in _products(embeddings):
        same = people[rows] == people[columns]
        genuine.append(scores[same])
        owners.append(people[rows[same]])
        kept.append((scores[~same], people[rows[~same]], people[columns[~same]]))
        kept = [_highest(kept, most)]
    impostor, first, second = kept[0] if kept else (np.zeros(0), _NONE, _NONE)
    return _Pairs(
        np.concatenate(genuine) if genuine else np.zeros(0),
        np.concatenate(owners) if owners else _NONE,
        impostor,
        first,
        second,
        np.bincount(people, minlength=width).astype(np.float64),
    )


_NONE = np.zeros(0, np.int64)


def _products(embeddings: FloatArray) -> Iterator[tuple[Floats, Ints, Ints]]:
    """The cosine of every pair once, with the places of both, a part at a time."""
    total = len(embeddings)
    step = max(1, _CHUNK // max(total, 1))
    for start in range(0, total, step):
        rows = np.arange(start, min(start + step, total))
        scores = np.asarray(embeddings[rows] @ embeddings.T, np.float64)
        row, column = np.nonzero(rows[:, None] < np.arange(total)[None])
        yield scores[row, column], rows[row], column


def _highest(parts: Sequence[tuple[Floats, Ints, Ints]], most: int) -> tuple[Floats, Ints, Ints]:
    """The highest scores, in falling order."""
    scores, first, second = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(-scores, kind="stable")[:most]
    return scores[order], first[order], second[order]
