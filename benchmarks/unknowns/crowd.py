"""People who come and go, drawn from a model's statistics, and the unknowns made of them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt

from benchmarks.gallery.templates import Statistics, Vectors
from domain.decisions.grouping import (
    Exemplar,
    GroupingPolicy,
    assign,
    first_unknown_id,
    kept_exemplars,
    template_of,
)
from ml.gallery.exact_search import Gallery
from ml.recognition.embedders import unit_rows

_CHUNK = 50_000
_CANDIDATES = 2


@dataclass(frozen=True, slots=True)
class Crowd:
    """Visits in the order of their ends.

    Attributes:
        visits: float32 (N, D), the embedding of each visit, length 1.
        people: (N,), whose each visit is.
    """

    visits: Vectors
    people: npt.NDArray[np.int64]

    def shuffled(self, seed: int) -> "Crowd":
        """The same visits in another order."""
        order = np.random.default_rng(seed).permutation(len(self.people))
        return Crowd(self.visits[order], self.people[order])


def drawn_crowd(statistics: Statistics, people: int, mean_visits: float, seed: int) -> Crowd:
    """Draw people and their visits; the number of visits of a person is geometric.

    The embedding of a visit is one photo's: a visit's mean would be nearer to the person.
    """
    random = np.random.default_rng((seed, people))
    visits_of = random.geometric(1 / mean_visits, people)
    labels = np.repeat(np.arange(people), visits_of)
    own = random.standard_normal((people, len(statistics.mean)), np.float32)
    persons = statistics.mean + own @ statistics.between.T
    noise = random.standard_normal((len(labels), len(statistics.mean)), np.float32)
    visits = unit_rows(np.asarray(persons[labels] + noise @ statistics.within.T, np.float32))
    return Crowd(visits, labels).shuffled(seed)


class Unknowns:
    """The unknowns of a crowd, in memory: the decisions of the unknowns agent, without stores."""

    def __init__(self, policy: GroupingPolicy, dimension: int) -> None:
        """Begin without any."""
        self._policy = policy
        self._gallery = Gallery("benchmark", dimension)
        self._exemplars: dict[UUID, list[Exemplar]] = {}

    def fill(self, templates: Vectors) -> None:
        """Add unknowns with one visit each, without comparing them."""
        self._gallery.reserve(len(templates))
        for start in range(0, len(templates), _CHUNK):
            part = [
                (first_unknown_id(UUID(int=start + place)), row)
                for place, row in enumerate(templates[start : start + _CHUNK])
            ]
            self._gallery.apply(part)

    def give(self, visit_id: UUID, embedding: Vectors) -> UUID:
        """Give a visit to its unknown."""
        (found,) = self._gallery.search(embedding[None, :], _CANDIDATES)
        unknown = assign(visit_id, found, (), self._policy).unknown_id
        before = self._exemplars.get(unknown, [])
        kept = kept_exemplars([*before, Exemplar(visit_id, embedding)])
        self._exemplars[unknown] = kept
        self._gallery.apply([(unknown, template_of(kept))])
        return unknown


def grouped(crowd: Crowd, policy: GroupingPolicy) -> Sequence[UUID]:
    """The unknown of each visit."""
    unknowns = Unknowns(policy, crowd.visits.shape[1])
    return [
        unknowns.give(UUID(int=place), embedding) for place, embedding in enumerate(crowd.visits)
    ]


def assignment_times(
    templates: Vectors, visits: Vectors, policy: GroupingPolicy
) -> npt.NDArray[np.float64]:
    """Seconds for each visit, with as many unknowns as templates."""
    unknowns = Unknowns(policy, templates.shape[1])
    unknowns.fill(templates)
    seconds = []
    for place, embedding in enumerate(visits):
        began = time.perf_counter()
        unknowns.give(UUID(int=2**64 + place), embedding)
        seconds.append(time.perf_counter() - began)
    return np.array(seconds)
