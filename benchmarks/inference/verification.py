"""How well embeddings distinguish people, with intervals by a bootstrap over people. Pure.

Terms as in ISO/IEC 19795-1: pairs are compared at a false accept rate (FAR), an open set of probes
at a false positive identification rate (FPIR). In each draw of the bootstrap a person counts as
often as they were drawn, and the thresholds are set again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from domain.arrays import FloatArray
from domain.decisions.matching import MatchPolicy
from ml.recognition.embedders import unit_rows

Floats = npt.NDArray[np.floating]
Counts = npt.NDArray[np.int64]
Names = npt.NDArray[np.str_]

DRAWS = 1000
FARS = {"tar_1e-2": 1e-2, "tar_1e-3": 1e-3, "tar_1e-4": 1e-4}
FPIR = 0.01
_PERCENT = 100.0


@dataclass(frozen=True, slots=True)
class Faces:
    """Embeddings of length 1, float32, and whose they are.

    Attributes:
        photos: (N, D); what people are enrolled with.
        probes: (N, D); the same faces, perhaps as a worse camera sees them.
        people: (N,); who has one face is not enrolled.
        others: (M, D); probes of more people who are not enrolled. They are not in pairs, because
            one of them may be there twice.
    """

    photos: FloatArray
    probes: FloatArray
    people: Names
    others: FloatArray


class Draw(NamedTuple):
    """How often each face counts: (N,) those of people, (M,) the others."""

    people: Counts
    others: Counts


def draws(people: Names, others: int, count: int = DRAWS) -> Iterator[Draw]:
    """People with repetition, as many as there are; in the first draw each counts once.

    People with several faces and those with one are drawn separately.
    """
    _, person, faces = np.unique(people, return_inverse=True, return_counts=True)
    yield Draw(np.ones(len(people), np.int64), np.ones(others, np.int64))
    random = np.random.default_rng(1)
    for _ in range(count - 1):
        times = np.zeros(len(faces), np.int64)
        for group in (np.flatnonzero(faces == 1), np.flatnonzero(faces > 1)):
            times[group] = _draw(random, group.size)
        yield Draw(times[person], _draw(random, others))


def measure(faces: Faces, drawn: Iterator[Draw], policy: MatchPolicy) -> dict[str, Floats]:
    """Accuracy in each draw: by name, one value for each.

    Args:
        faces: of at least two people with several faces, and of people with one, or others.
        drawn: of `draws`, for as many faces.
        policy: what a match is by default.

    Returns:
        ``tar_1e-2`` and so on: per cent of the pairs of one person that match. ``rank_1``: per
        cent of the probes whose own template is the best; a template is the mean of a person's
        other photos. ``fnir``: per cent whose own template is not the best, or is not above the
        threshold. ``default_fnir``, ``default_fpir``: per cent of the probes of people who are
        enrolled that do not match them by the policy, and of the others that match one.
        ``separation``: difference of the means of the genuine and the impostor cosines,
        over the root of the mean of their variances (d').
    """
    same = faces.people[:, None] == faces.people[None]
    genuine, impostor = same & ~np.eye(len(same), dtype=bool), ~same
    cosines = np.asarray(faces.probes @ faces.photos.T, np.float64)
    own, strange = cosines[genuine], np.sort(cosines[impostor])[::-1]
    of_genuine, _ = np.nonzero(genuine)
    order = np.argsort(-cosines[impostor], kind="stable")
    one, two = (places[order] for places in np.nonzero(impostor))
    best, second, mine, enrolled = _searches(faces)
    unknown = np.argsort(-best[~enrolled], kind="stable")
    right = mine[enrolled] >= best[enrolled]
    matches = (best >= policy.threshold) & (best - second >= policy.margin)
    names = (*FARS, "rank_1", "fnir", "default_fnir", "default_fpir", "separation")
    found: dict[str, list[float]] = {name: [] for name in names}
    for draw in drawn:
        pairs, others = draw.people[of_genuine], draw.people[one] * draw.people[two]
        for name, far in FARS.items():
            found[name].append(_share(own > _limit(strange, others, far), pairs))
        found["separation"].append(_separation(own, pairs, strange, others))
        everyone = np.concatenate([draw.people, draw.others])
        limit = _limit(best[~enrolled][unknown], everyone[~enrolled][unknown], FPIR)
        known = everyone[enrolled]
        found["rank_1"].append(_share(right, known))
        found["fnir"].append(_share(~right | (mine[enrolled] <= limit), known))
        found["default_fnir"].append(_share(~right | ~matches[enrolled], known))
        found["default_fpir"].append(_share(matches[~enrolled], everyone[~enrolled]))
    return {name: np.array(values) for name, values in found.items()}


def interval(values: Floats) -> tuple[float, float]:
    """The 95 % interval of what was found in the draws."""
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def _draw(random: np.random.Generator, size: int) -> Counts:
    if not size:
        return np.zeros(0, np.int64)
    return random.multinomial(size, np.full(size, 1 / size)).astype(np.int64)


def _searches(faces: Faces) -> tuple[Floats, Floats, Floats, npt.NDArray[np.bool_]]:
    """The two best cosines of each probe, its own template's, and whose template there is."""
    names, person, counts = np.unique(faces.people, return_inverse=True, return_counts=True)
    templates = np.flatnonzero(counts > 1)
    sums = np.zeros((len(names), faces.photos.shape[1]), np.float32)
    np.add.at(sums, person, faces.photos)
    probes = np.concatenate([faces.probes, faces.others])
    cosines = np.asarray(probes @ unit_rows(sums[templates]).T, np.float64)
    enrolled = np.concatenate([counts[person] > 1, np.zeros(len(faces.others), bool)])
    mine = np.full(len(probes), -np.inf)
    for row in np.flatnonzero(enrolled):
        (template,) = unit_rows((sums[person[row]] - faces.photos[row])[None])
        mine[row] = float(faces.probes[row] @ template)
        cosines[row, np.searchsorted(templates, person[row])] = mine[row]
    second, best = np.sort(cosines, axis=1)[:, -2:].T
    return best, second, mine, enrolled


def _limit(falling: Floats, weights: Counts, share: float) -> float:
    """What at most this share of the weights is above, of values in falling order."""
    passed = np.cumsum(weights)
    return float(falling[np.searchsorted(passed, share * passed[-1], side="right")])


def _share(counted: npt.NDArray[np.bool_], weights: Counts) -> float:
    return _PERCENT * float(weights[counted].sum() / weights.sum())


def _separation(own: Floats, pairs: Counts, strange: Floats, others: Counts) -> float:
    (one, spread), (two, width) = (
        (
            mean := np.average(values, weights=weights),
            np.average((values - mean) ** 2, weights=weights),
        )
        for values, weights in ((own, pairs), (strange, others))
    )
    deviation = np.sqrt((spread + width) / 2)
    return float((one - two) / deviation) if deviation else float("inf")
