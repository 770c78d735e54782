"""The enrolled people, in memory, searched as exactly as brute force but for negligible odds."""

import threading
from collections.abc import Iterable, Sequence
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from domain.arrays import FloatArray
from domain.decisions.matching import Candidate
from ml.gallery.quantized_scan import CoarseCopy

Slots = NDArray[np.int64]

#: Below this many templates one matrix product is as fast as the scan of the coarse copy.
SCAN_FROM = 4096

#: Maximum candidates that the scan returns for exact scoring, in addition to the requested ones and
#: a thousandth of all; four times as many if these do not suffice.
SPARE = 1000

# Where more than this share of all were to be fetched, all are scored.
_MOST_FETCHED = 0.1

# OpenBLAS shares out even small products, and its threads then spin for their next for a while: a
# search of 0.03 ms cost 2.2 ms of CPU time, which models and servers need. The number of
# threads applies to the whole process, so a lock lets one gallery at a time set it.
_BLAS = ThreadpoolController().select(user_api="blas")
_BLAS_LOCK = threading.Lock()


class Gallery:
    """One template a person, for one model; cosine similarity; safe for use by several threads.

    Templates are kept as float32, and once more with four bits a component. A search scans the
    coarse copy for candidates and scores these exactly. What a template can score that the copy
    says little good of is bounded (`CoarseCopy.at_most`): candidates that cannot be among the best
    are left out, and where one outside of the candidates could be, more are fetched, in the end
    all. The result therefore equals brute force, but that each of the best may be missed with odds
    of a few in a million. The few templates that the bound does not cover are always scored.

    `apply` may have to wait for a running search: call it, too, off the event loop when the
    gallery is large.
    """

    def __init__(
        self, model_id: str, dimension: int, *, scan_from: int = SCAN_FROM, spare: int = SPARE
    ) -> None:
        """Make an empty gallery.

        Args:
            model_id: whose embeddings these are.
            dimension: of an embedding.
            scan_from: number of templates from which the coarse copy is scanned.
            spare: how many candidates more than requested the first scan returns.
        """
        self.model_id = model_id
        self.dimension = dimension
        self._scan_from = scan_from
        self._spare = spare
        self._lock = threading.Lock()
        self._users: list[UUID] = []  # by slot
        self._slots: dict[UUID, int] = {}
        self._vectors: FloatArray = np.zeros((0, dimension), np.float32)  # rows past len: zero
        self._coarse = CoarseCopy(dimension)
        self._strays: tuple[Slots, FloatArray] | None = None  # a copy, in one piece

    def __len__(self) -> int:
        return len(self._users)

    def __contains__(self, user_id: object) -> bool:
        return user_id in self._slots

    def reserve(self, size: int) -> None:
        """Make room for so many people at once, so that entering them copies nothing."""
        with self._lock:
            self._resize(size)

    def apply(self, changes: Iterable[tuple[UUID, FloatArray | None]]) -> None:
        """Enter, replace and erase templates, in the order given; all or, on an error, none.

        Costs in proportion to the changes. Nothing of an erased template stays in the gallery.

        Args:
            changes: person and template, float32 (D,), brought to length 1; None erases.

        Raises:
            ValueError: a template has another dimension, no length, or a value that is no number.
        """
        last = dict(changes)
        entered = [user for user, vector in last.items() if vector is not None]
        vectors = self._units([vector for vector in last.values() if vector is not None])
        with self._lock:
            for user, vector in last.items():
                if vector is None:
                    self._erase(user)
            self._coarse.shrink(len(self._users))
            if entered:
                self._write(entered, vectors)
            if self._coarse.strays_changed():
                self._strays = None

    def search(self, probes: FloatArray, k: int) -> list[list[Candidate]]:
        """Find the k most similar people for each probe, exact but for odds of a few in a million.

        Args:
            probes: float32 (M, D) of length 1.
            k: how many; fewer come back where the gallery has fewer.

        Returns:
            For each probe its candidates, best first; equally similar ones in any order.

        Raises:
            ValueError: the probes have another dimension.
        """
        probes = np.ascontiguousarray(probes, np.float32)
        if probes.ndim != 2 or probes.shape[1] != self.dimension:  # noqa: PLR2004 - (M, D)
            raise ValueError(
                f"probes of {self.model_id} are (M, {self.dimension}), not {probes.shape}"
            )
        with self._lock, _BLAS_LOCK, _BLAS.limit(limits=1):
            k = min(k, len(self._users))
            if k < 1 or not len(probes):
                return [[] for _ in probes]
            if len(self._users) < self._scan_from:
                scores = probes @ self._vectors[: len(self._users)].T
                everyone = np.arange(len(self._users))
                return [self._best(everyone, row, k) for row in scores]
            return self._scan(probes, k)

    def template(self, user_id: UUID) -> FloatArray | None:
        """A copy of a person's template, float32 (D,) of length 1; None if there is none."""
        with self._lock:
            slot = self._slots.get(user_id)
            return None if slot is None else self._vectors[slot].copy()

    def _scan(self, probes: FloatArray, k: int) -> list[list[Candidate]]:
        """Take candidates from the coarse copy until no other template can be among the best."""
        size = len(self._users)
        results: list[list[Candidate]] = [[] for _ in probes]
        open_probes = np.arange(len(probes))
        fetch = min(size, k + min(self._spare, size // 50) + size // 1000)
        while len(open_probes):
            approximate, found = self._coarse.search(probes[open_probes], fetch)
            undecided = []
            for place, near, slots in zip(open_probes, approximate, found, strict=True):
                probe = probes[place]
                possible = self._coarse.at_most(probe, near)
                results[place] = self._best_of(probe, slots, possible, k)
                if fetch < size and results[place][-1].similarity < possible[-1]:
                    undecided.append(place)
            open_probes = np.array(undecided, np.intp)
            fetch *= 4
            if fetch > size * _MOST_FETCHED:
                break
        for place in open_probes:
            scores = self._vectors[:size] @ probes[place]
            results[place] = self._best(np.arange(size), scores, k)
        return results

    def _best_of(
        self, probe: FloatArray, slots: Slots, possible: FloatArray, k: int
    ) -> list[Candidate]:
        """The best of some slots and of all strays.

        Rows are far apart in memory, so those are not read that cannot be among the best.

        Args:
            probe: float32 (D,) of length 1.
            slots: at least k, the most promising first.
            possible: how similar each can be at most.
            k: how many.
        """
        first, rest = slots[: k + self._spare // 16], slots[k + self._spare // 16 :]
        scores = self._vectors[first] @ probe
        least = np.partition(scores, -k)[-k]
        rest = rest[possible[len(first) :] >= least]
        if self._strays is None:
            strays = self._coarse.strays
            self._strays = strays, self._vectors[strays]
        strays, vectors = self._strays
        of_strays = vectors @ probe
        top = np.flatnonzero(of_strays >= least)
        scored, places = np.unique(np.concatenate([first, rest, strays[top]]), return_index=True)
        found = np.concatenate([scores, self._vectors[rest] @ probe, of_strays[top]])
        return self._best(scored, found[places], k)

    def _best(self, slots: Slots, scores: FloatArray, k: int) -> list[Candidate]:
        top = np.argpartition(-scores, k - 1)[:k] if k < len(scores) else np.arange(len(scores))
        top = top[np.argsort(-scores[top], kind="stable")]
        return [Candidate(self._users[slots[i]], float(scores[i])) for i in top]

    def _units(self, vectors: Sequence[FloatArray]) -> FloatArray:
        for vector in vectors:
            if np.shape(vector) != (self.dimension,):
                raise ValueError(
                    f"templates of {self.model_id} are ({self.dimension},), not {np.shape(vector)}"
                )
        values = np.array(vectors, np.float64).reshape(-1, self.dimension)
        lengths = np.linalg.norm(values, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise ValueError("a template has no length, or a value that is no number")
        return np.asarray(values / lengths, np.float32)

    def _write(self, users: Sequence[UUID], vectors: FloatArray) -> None:
        """Enter or replace the templates of different people."""
        new = [user for user in users if user not in self._slots]
        if len(new) < len(users):
            known = np.array([user in self._slots for user in users])
            slots = np.array([self._slots[user] for user in users if user in self._slots])
            self._vectors[slots] = vectors[known]
            self._coarse.overwrite(slots, vectors[known])
            vectors = vectors[~known]
        first = len(self._users)
        self._users += new
        size = len(self._users)
        self._slots.update(zip(new, range(first, size), strict=True))
        self._grow(size)
        self._vectors[first:size] = vectors
        self._coarse.append(vectors)

    def _erase(self, user: UUID) -> None:
        """The last template moves into the slot that falls free."""
        slot = self._slots.pop(user, None)
        if slot is None:
            return
        last = len(self._users) - 1
        if slot != last:
            self._users[slot] = self._users[last]
            self._slots[self._users[slot]] = slot
            self._vectors[slot] = self._vectors[last]
        self._users.pop()
        self._vectors[last] = 0
        self._coarse.erase(slot, last)

    def _grow(self, size: int) -> None:
        if size > len(self._vectors):
            self._resize(max(size, len(self._vectors) * 3 // 2, 1024))

    def _resize(self, capacity: int) -> None:
        if capacity > len(self._vectors):
            vectors = np.zeros((capacity, self.dimension), np.float32)
            vectors[: len(self._vectors)] = self._vectors
            self._vectors = vectors
