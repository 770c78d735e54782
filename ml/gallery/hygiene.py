"""Mistakes of labels among enrolled photos, as far as embeddings show them. Pure.

All functions take the photos as rows: float32 (N, D) of length 1, each with the number of its user
and its weight in the template.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from domain.arrays import FloatArray

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Comparisons in memory at a time.
_CHUNK = 4_000_000


class Outlier(NamedTuple):
    """A photo, by its row, and its cosine to the template of its user's other photos."""

    photo: int
    similarity: float


class Pair(NamedTuple):
    """Two photos by their rows, or two users by their numbers, and their cosine."""

    one: int
    other: int
    similarity: float


@dataclass(frozen=True, slots=True, eq=False)
class PhotoRows:
    """The photos of a gallery.

    Attributes:
        embeddings: float32 (N, D) of length 1.
        users: (N,), 0 to U - 1; whose each one is.
        weights: (N,), more than 0.
    """

    embeddings: FloatArray
    users: Ints
    weights: Floats

    def sums(self) -> Floats:
        """(U, D); the weighted sum of each user's photos."""
        size = int(self.users.max(initial=-1)) + 1
        sums = np.zeros((size, self.embeddings.shape[1]), np.float64)
        np.add.at(sums, self.users, self.embeddings * self.weights[:, None])
        return sums

    def templates(self) -> FloatArray:
        """float32 (U, D) of length 1, as the gallery has them."""
        return _units(self.sums())


def outliers(photos: PhotoRows, least: float) -> list[Outlier]:
    """Photos that do not resemble the other photos of their user (leave-one-out), worst first.

    Of two photos that differ, both are outliers: it cannot be known which one is wrong. A user's
    only photo is none.

    Args:
        photos: of all users.
        least: the cosine below which a photo is one.
    """
    rest = photos.sums()[photos.users] - photos.embeddings * photos.weights[:, None]
    has_others = np.bincount(photos.users, minlength=1)[photos.users] > 1
    scores: Floats = np.einsum("nd,nd->n", _units(rest), photos.embeddings, dtype=np.float64)
    found = [
        Outlier(int(row), float(scores[row]))
        for row in np.flatnonzero((scores < least) & has_others)
    ]
    return sorted(found, key=lambda one: one.similarity)


def near_duplicates(photos: PhotoRows, limit: float) -> list[Pair]:
    """Pairs of photos of one user that are nearly the same picture, closest first.

    Args:
        photos: of all users.
        limit: the cosine from which on they are.
    """
    found = []
    order = np.argsort(photos.users, kind="stable")
    starts = np.flatnonzero(np.diff(photos.users[order], prepend=-1))
    for rows in np.split(order, starts[1:]):
        own = photos.embeddings[rows]
        scores = own @ own.T
        for i, j in zip(*np.nonzero(np.triu(scores >= limit, 1)), strict=True):
            found.append(Pair(int(rows[i]), int(rows[j]), float(scores[i, j])))
    return sorted(found, key=lambda one: -one.similarity)


def too_alike(templates: FloatArray, limit: float) -> list[Pair]:
    """Pairs of users whose templates resemble each other, closest first.

    Args:
        templates: float32 (U, D) of length 1.
        limit: the cosine from which on they do.
    """
    found = []
    step = max(1, _CHUNK // max(1, len(templates)))
    for start in range(0, len(templates), step):
        scores = templates[start : start + step] @ templates[start:].T
        for i, j in zip(*np.nonzero(np.triu(scores >= limit, 1)), strict=True):
            found.append(Pair(start + int(i), start + int(j), float(scores[i, j])))
    return sorted(found, key=lambda one: -one.similarity)


def _units(rows: Floats) -> FloatArray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), np.float32)
