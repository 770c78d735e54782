"""The open-set protocol: probes of enrolled people and of unknown people against one gallery. Pure.

Terms as in ISO/IEC 19795-1:2021: FNIR is the share of the probes of enrolled people that are not
identified as them, FPIR the share of the probes of unknown people that are identified as anyone.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from domain.arrays import FloatArray

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

#: Comparisons in memory at a time.
_CHUNK = 4_000_000

#: How many of the impostor comparisons are kept, the highest ones: this share, within limits.
_TAIL_SHARE = 0.005
_LEAST_TAIL, _MOST_TAIL = 200, 2000


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """The enrolled people.

    Attributes:
        templates: float32 (G, D) of length 1.
        owners: (G,); whose each one is, as a number.
    """

    templates: FloatArray
    owners: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """Faces that are searched.

    Attributes:
        embeddings: float32 (M, D) of length 1.
        people: (M,); whose each one is, as a number. Who has no template is unknown.
        reliable: (M,); whether the embedding says who it is (`ml.recognition.face_quality`).
    """

    embeddings: FloatArray
    people: Ints
    reliable: Bools

    def __len__(self) -> int:
        return len(self.people)


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """The highest impostor comparisons: a probe with the template of another person.

    Attributes:
        scores: (T,) cosines, the highest of all impostor comparisons.
        probes: (T,); number of the person whose probe it is.
        owners: (T,); number of the person whose template it is.
        total: number of all impostor comparisons.
        searched: numbers of all people who have a probe.
        enrolled: numbers of all people who have a template.
    """

    scores: Floats
    probes: Ints
    owners: Ints
    total: int
    searched: Ints
    enrolled: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """What the search of each probe came to; all (M,), in the order of the probes.

    Attributes:
        people: whose probe it is.
        own: cosine to the person's own template; -inf of unknown people.
        best: highest cosine to another person's template; -inf without one.
        second: the next highest one of other people; -inf without one.
        named: number of the other person with the highest cosine; -1 without one.
        reliable: as of `Probes`.
        size: number of templates in the gallery.
    """

    people: Ints
    own: Floats
    best: Floats
    second: Floats
    named: Ints
    reliable: Bools
    size: int

    @property
    def known(self) -> Bools:
        """Which probes are of enrolled people."""
        return np.isfinite(self.own)

    def of(self, chosen: Bools) -> Self:
        """The trials of some of the probes."""
        return type(self)(
            self.people[chosen],
            self.own[chosen],
            self.best[chosen],
            self.second[chosen],
            self.named[chosen],
            self.reliable[chosen],
            self.size,
        )

    def accepted(self, margin: float) -> Floats:
        """Up to which threshold each probe is identified as the person it is of.

        Returns:
            (M,): the cosine to the own template where that is the best, leads by the margin and is
            of a reliable face; else -inf. As `domain.decisions.matching.decide`.
        """
        lead = _lead(self.own, self.best)
        right = self.reliable & self.known & (lead > 0) & (lead >= margin)
        return np.where(right, self.own, -np.inf)

    def named_wrongly(self, margin: float) -> Floats:
        """Up to which threshold each probe is identified as a person who was left in the gallery.

        The person whose probe it is counts as not enrolled: a probe of an enrolled person is
        searched among all others (leaving one out).

        Returns:
            (M,): as `accepted`.
        """
        lead = _lead(self.best, self.second)
        wrong = self.reliable & (self.named >= 0) & (lead > 0) & (lead >= margin)
        return np.where(wrong, self.best, -np.inf)

    def misidentified(self, margin: float) -> Floats:
        """Up to which threshold each probe of an enrolled person is identified as another one.

        Returns:
            (M,): as `accepted`.
        """
        lead = _lead(self.best, np.maximum(self.own, self.second))
        wrong = self.reliable & self.known & (lead > 0) & (lead >= margin)
        return np.where(wrong, self.best, -np.inf)


def _lead(first: Floats, second: Floats) -> Floats:
    """First minus second; of two that are not there, none."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(first - second, nan=0.0, posinf=np.inf, neginf=-np.inf)


def fused(embeddings: FloatArray, people: Ints, weights: Floats | None = None) -> Gallery:
    """Templates as the gallery has them: the weighted mean of a person's embeddings, at length 1.

    The same as the statement of `sinks.vector.templates.template_store`.

    Args:
        embeddings: float32 (N, D) of length 1, of the photos that are enrolled.
        people: (N,); whose each one is.
        weights: (N,); how much each one counts; None: all the same.
    """
    owners, person = np.unique(people, return_inverse=True)
    sums = np.zeros((len(owners), embeddings.shape[1]), np.float64)
    weighted = embeddings if weights is None else embeddings * weights[:, None]
    np.add.at(sums, person, weighted)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    templates = sums / np.where(lengths > 0, lengths, 1)
    return Gallery(templates.astype(np.float32), owners.astype(np.int64))


def search(gallery: Gallery, probes: Probes) -> tuple[Trials, Tail]:
    """Compare each probe with each template.

    Args:
        gallery: at most one template a person, at least one in all.
        probes: at least one.
    """
    places = {owner: place for place, owner in enumerate(gallery.owners.tolist())}
    mine = np.array([places.get(person, -1) for person in probes.people.tolist()], np.int64)
    parts: list[tuple[Floats, ...]] = []
    tails: list[tuple[Floats, Ints, Ints]] = []
    total = len(probes) * len(gallery.owners) - int((mine >= 0).sum())
    kept = min(total, max(_LEAST_TAIL, min(_MOST_TAIL, round(_TAIL_SHARE * total))))
    step = max(1, _CHUNK // len(gallery.owners))
    for start in range(0, len(probes), step):
        chunk = slice(start, start + step)
        scores = np.asarray(probes.embeddings[chunk] @ gallery.templates.T, np.float64)
        rows = np.arange(len(scores))
        has_own = mine[chunk] >= 0
        own = np.where(has_own, scores[rows, mine[chunk]], -np.inf)
        scores[rows[has_own], mine[chunk][has_own]] = -np.inf
        parts.append((own, *_two_best(scores)))
        tails.append(_highest(scores, probes.people[chunk], gallery.owners, kept))
    own, best, second, place = (np.concatenate(part) for part in zip(*parts, strict=True))
    named = np.where(np.isfinite(best), gallery.owners[place.astype(np.int64)], -1)
    trials = Trials(probes.people, own, best, second, named, probes.reliable, len(gallery.owners))
    return trials, _join(tails, total, kept, (probes.people, gallery.owners))


def _two_best(scores: Floats) -> tuple[Floats, Floats, Floats]:
    """The two highest of each row, and where the highest one is."""
    rows = np.arange(len(scores))
    place = scores.argmax(axis=1)
    best = scores[rows, place].copy()
    if scores.shape[1] == 1:
        return best, np.full(len(scores), -np.inf), place.astype(np.float64)
    scores[rows, place] = -np.inf
    second = scores.max(axis=1)
    scores[rows, place] = best
    return best, second, place.astype(np.float64)


def _highest(scores: Floats, people: Ints, owners: Ints, kept: int) -> tuple[Floats, Ints, Ints]:
    """The highest comparisons of a chunk; it may have all of the highest ones."""
    flat = scores.ravel()
    kept = min(flat.size, kept)
    chosen = np.argpartition(-flat, kept - 1)[:kept] if kept else np.zeros(0, np.int64)
    chosen = chosen[np.isfinite(flat[chosen])]
    row, column = np.unravel_index(chosen, scores.shape)
    return flat[chosen], people[row], owners[column]


def _join(
    parts: list[tuple[Floats, Ints, Ints]], total: int, kept: int, people: tuple[Ints, Ints]
) -> Tail:
    scores, probes, owners = (np.concatenate(part) for part in zip(*parts, strict=True))
    chosen = np.argsort(-scores, kind="stable")[:kept]
    searched, enrolled = (np.unique(each) for each in people)
    return Tail(scores[chosen], probes[chosen], owners[chosen], total, searched, enrolled)
