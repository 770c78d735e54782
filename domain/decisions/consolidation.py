"""Which unknowns are one person after all? Pure functions of embeddings.

A merge cannot be seen by its author when it is wrong, so only what is certain is merged: every two
visits of both must be alike (complete linkage). What is likely is proposed to an operator.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import heappop, heappush
from itertools import combinations
from typing import Literal
from uuid import UUID

import numpy as np
import numpy.typing as npt

#: A template with fewer exemplars has not enough of them to have two peaks.
_LEAST_EXEMPLARS = 4

#: Of a split, each part has at least so many: one odd picture is no person.
_LEAST_PART = 2

#: Rounds in which the two parts of a split settle; they nearly always have in three.
_ROUNDS = 10

Rows = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ConsolidationPolicy:
    """What is merged, and what is proposed.

    Attributes:
        merge_threshold: the least cosine of every two exemplars of unknowns that are merged.
        propose_threshold: the least cosine of two templates that may be of one person; the parts
            of a template that is to be split are less alike.
    """

    merge_threshold: float
    propose_threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """An unknown, as the consolidation sees it.

    Attributes:
        unknown_id: of the unknown.
        first_seen_at: start of its first visit: the older one is left after a merge.
        exemplars: float32 (N, D), rows of length 1; N is 1 or more.
        joined: whether an operator has joined it with another one: then it stays so.
    """

    unknown_id: UUID
    first_seen_at: datetime
    exemplars: Rows
    joined: bool = False


@dataclass(frozen=True, slots=True)
class Merge:
    """Two unknowns are one person; ``kept`` is the older one."""

    kept: UUID
    merged: UUID
    similarity: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an operator is asked: are these two one person; or, is this one two people?

    Attributes:
        kind: ``merge`` or ``split``.
        unknown_id: the unknown; of a merge, the older one.
        other_id: of a merge, the other one; of a split, the same.
        similarity: of the two templates, or of the two parts.
    """

    kind: Literal["merge", "split"]
    unknown_id: UUID
    other_id: UUID
    similarity: float


@dataclass(frozen=True, slots=True)
class Consolidation:
    """What is to be merged, in order, and what is to be proposed."""

    merges: Sequence[Merge]
    proposals: Sequence[Proposal]


@dataclass(slots=True)
class _Cluster:
    """Unknowns that are one person, the oldest first; the ids of clusters near and apart."""

    members: list[Group]
    exemplars: Rows
    near: set[UUID]
    apart: set[UUID]

    @property
    def name(self) -> UUID:
        return self.members[0].unknown_id

    @property
    def age(self) -> tuple[datetime, UUID]:
        return _age(self.members[0])


def linkage(one: Rows, other: Rows) -> float:
    """The least cosine of any exemplar of the one with any of the other."""
    return float((one @ other.T).min())


def consolidate(
    groups: Sequence[Group],
    near: Iterable[tuple[UUID, UUID]],
    apart: Collection[frozenset[UUID]],
    policy: ConsolidationPolicy,
) -> Consolidation:
    """Merge what is certain, the most certain first, and propose what is likely.

    Args:
        groups: the unknowns.
        near: those pairs of them that may be one person; no other pair is looked at.
        apart: pairs of unknowns who are two people.
        policy: thresholds.
    """
    clusters = {
        group.unknown_id: _Cluster([group], group.exemplars, set(), set()) for group in groups
    }
    for field, pairs in (("near", near), ("apart", apart)):
        for one, other in map(tuple, pairs):
            if one != other and one in clusters and other in clusters:
                getattr(clusters[one], field).add(other)
                getattr(clusters[other], field).add(one)
    merges = _merge_what_is_certain(clusters, policy)
    left = sorted(clusters.values(), key=lambda cluster: cluster.age)
    proposals = [*_merges_to_ask(clusters, left, policy), *_splits_to_ask(left, policy)]
    return Consolidation(merges, proposals)


def _age(group: Group) -> tuple[datetime, UUID]:
    return group.first_seen_at, group.unknown_id


def _merge_what_is_certain(
    clusters: dict[UUID, _Cluster], policy: ConsolidationPolicy
) -> list[Merge]:
    """Merge clusters in place, those first whose least similar exemplars are most alike."""
    merges: list[Merge] = []
    heap: list[tuple[float, UUID, UUID, int]] = []

    def consider(one: _Cluster, names: Iterable[UUID]) -> None:
        for name in names:
            other = clusters[name]
            if name not in one.apart:
                similarity = linkage(one.exemplars, other.exemplars)
                if similarity >= policy.merge_threshold:
                    first, second = sorted((one.name, name))
                    heappush(heap, (-similarity, first, second, _size(one, other)))

    for cluster in clusters.values():
        consider(cluster, [name for name in cluster.near if name > cluster.name])
    while heap:
        negative, first, second, size = heappop(heap)
        pair = clusters.get(first), clusters.get(second)
        if pair[0] is None or pair[1] is None or _size(pair[0], pair[1]) != size:
            continue  # one of them is another by now
        older, younger = sorted((pair[0], pair[1]), key=lambda cluster: cluster.age)
        merges.append(Merge(older.name, younger.name, -negative))
        _unite(clusters, older, younger)
        consider(older, older.near)
    return merges


def _size(one: _Cluster, other: _Cluster) -> int:
    """Grows with every merge of either of them."""
    return len(one.members) + len(other.members)


def _unite(clusters: dict[UUID, _Cluster], older: _Cluster, younger: _Cluster) -> None:
    """Put the younger cluster into the older one."""
    del clusters[younger.name]
    older.exemplars = np.concatenate([older.exemplars, younger.exemplars])
    for field in ("near", "apart"):
        names = (getattr(older, field) | getattr(younger, field)) - {older.name, younger.name}
        setattr(older, field, names)
        for name in names:
            of_other = getattr(clusters[name], field)
            of_other.discard(younger.name)
            of_other.add(older.name)
    older.members += younger.members


def _merges_to_ask(
    clusters: dict[UUID, _Cluster], left: Sequence[_Cluster], policy: ConsolidationPolicy
) -> list[Proposal]:
    asked = []
    for one in left:
        for name in sorted(one.near - one.apart):
            other = clusters[name]
            if one.age < other.age:
                similarity = float(_mean(one.exemplars) @ _mean(other.exemplars))
                if similarity >= policy.propose_threshold:
                    asked.append(Proposal("merge", one.name, name, similarity))
    return asked


def _splits_to_ask(left: Sequence[_Cluster], policy: ConsolidationPolicy) -> list[Proposal]:
    asked = []
    for cluster in left:
        if any(member.joined for member in cluster.members):
            continue
        parts = two_parts(cluster.exemplars)
        if parts is not None:
            similarity = float(_mean(parts[0]) @ _mean(parts[1]))
            if similarity < policy.propose_threshold:
                asked.append(Proposal("split", cluster.name, cluster.name, similarity))
    return asked


def two_parts(exemplars: Rows) -> tuple[Rows, Rows] | None:
    """The two parts that a template's exemplars fall into most clearly: spherical 2-means.

    It begins with the two that are least alike.

    Returns:
        The parts; None if one of them would be too small to be a person.
    """
    if len(exemplars) < _LEAST_EXEMPLARS:
        return None
    likeness = exemplars @ exemplars.T
    first, second = min(combinations(range(len(exemplars)), 2), key=lambda pair: likeness[pair])
    centres = exemplars[[first, second]]
    nearer = np.zeros(len(exemplars), bool)
    for _ in range(_ROUNDS):
        scores = exemplars @ centres.T
        again = scores[:, 0] >= scores[:, 1]
        if not again.any() or again.all():
            return None
        if (again == nearer).all():
            break
        nearer = again
        centres = np.stack([_mean(exemplars[nearer]), _mean(exemplars[~nearer])])
    parts = exemplars[nearer], exemplars[~nearer]
    return None if min(map(len, parts)) < _LEAST_PART else parts


def _mean(rows: Rows) -> Rows:
    mean = rows.sum(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    return np.asarray(mean / length if length else mean, np.float32)
