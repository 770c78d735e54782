"""Galleries of any size drawn from a model's statistics, with known and unknown probes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ml.recognition.embedders import unit_rows

Vectors = npt.NDArray[np.float32]

#: One search in ten is for a person who is not enrolled.
UNKNOWN_SHARE = 0.1

_SEED = 20_231
_CHUNK = 100_000
# Deviation of a photo from its person, relative to the person's own, without statistics: genuine
# cosines are about 0.6 then.
_ISOTROPIC_WITHIN = 0.8


@dataclass(frozen=True, slots=True)
class Statistics:
    """How embeddings are spread: a mean, and the roots of two covariances.

    Attributes:
        mean: (D,).
        between: (D, D): people about the mean.
        within: (D, D): photos about their person.
    """

    mean: Vectors
    between: Vectors
    within: Vectors

    @classmethod
    def load(cls, path: Path) -> "Statistics":
        """Read ``mean``, ``between`` and ``within`` of an ``.npz`` file."""
        with np.load(path) as file:
            return cls(file["mean"], _root(file["between"]), _root(file["within"]))

    @classmethod
    def isotropic(cls, dimension: int) -> "Statistics":
        """People in all directions alike."""
        identity = np.eye(dimension, dtype=np.float32)
        mean = np.zeros(dimension, np.float32)
        return cls(mean, identity, np.float32(_ISOTROPIC_WITHIN) * identity)


@dataclass(frozen=True, slots=True)
class Population:
    """A gallery and what is looked for in it; all float32, rows of length 1.

    Attributes:
        templates: (N, D), one of each person.
        probes: (M, D), another photo of some of them; then of unknown people.
        people: (M,), the row of each probe's person; -1 for unknown people.
    """

    templates: Vectors
    probes: Vectors
    people: npt.NDArray[np.int64]


def draw(statistics: Statistics, size: int, probes: int) -> Population:
    """Draw a gallery; the same arguments give the same numbers."""
    random = np.random.default_rng((_SEED, size, len(statistics.mean)))

    def persons(count: int) -> Vectors:
        own = random.standard_normal((count, len(statistics.mean)), np.float32)
        return statistics.mean + own @ statistics.between.T

    def photos(of: Vectors) -> Vectors:
        noise = random.standard_normal(of.shape, np.float32)
        return unit_rows(of + noise @ statistics.within.T)

    unknowns = round(probes * UNKNOWN_SHARE)
    wanted = np.sort(random.choice(size, min(size, probes - unknowns), replace=False))
    templates = np.empty((size, len(statistics.mean)), np.float32)
    looked_for = []
    for start in range(0, size, _CHUNK):
        part = persons(min(_CHUNK, size - start))
        templates[start : start + len(part)] = photos(part)
        inside = wanted[(wanted >= start) & (wanted < start + len(part))]
        looked_for.append(photos(part[inside - start]))
    looked_for.append(photos(persons(unknowns)))
    people = np.concatenate([wanted, np.full(unknowns, -1)])
    return Population(templates, np.concatenate(looked_for), people)


def brute_force(population: Population) -> npt.NDArray[np.int64]:
    """The row of the template most similar to each probe."""
    templates, probes = population.templates, population.probes
    best = np.full(len(probes), -np.inf, np.float32)
    rows = np.zeros(len(probes), np.int64)
    for start in range(0, len(templates), _CHUNK // 4):
        scores = probes @ templates[start : start + _CHUNK // 4].T
        top = scores.argmax(1)
        better = scores[np.arange(len(probes)), top] > best
        rows[better] = top[better] + start
        best = np.maximum(best, scores.max(1))
    return rows


def _root(covariance: Vectors) -> Vectors:
    values, vectors = np.linalg.eigh(covariance.astype(np.float64))
    return np.asarray(vectors * np.sqrt(np.clip(values, 0, None)), np.float32)
