"""The enrolled people, in memory, searched exactly."""

import threading
from collections.abc import Iterable
from uuid import UUID

import faiss
import numpy as np
from numpy.typing import NDArray

from ml.arrays import FloatArray
from ml.decision import Candidate

Slots = NDArray[np.int64]

#: Below this many templates one matrix product is as fast as the 8-bit scan.
SCAN_FROM = 4096

# Candidates the 8-bit scan brings for exact scoring, beyond those asked for.
_SPARE = 30

# Rounding of float32 sums of products of unit vectors, in the scan and in the scoring.
_ROUNDING = 1e-5


class Gallery:
    """One template a person, for one model; cosine similarity; safe for use by several threads.

    Templates are kept as float32, and once more as 8-bit scalars. A search scans the 8-bit copy
    for candidates and scores these exactly. How far the copy strays from a template is known when
    it is written, so is the best that a template outside the candidates could score: where that
    could matter, more candidates are fetched. The result therefore equals brute force.

    The 8-bit ranges are fixed, not trained on data: components of a unit vector in D dimensions
    have a deviation of about 1/sqrt(D), and six of these bound all but freaks, which lose
    precision in the scan and nothing in the result.

    `apply` may have to wait for a running search: call it, too, off the event loop when the
    gallery is large.
    """

    def __init__(self, model_id: str, dimension: int, *, scan_from: int = SCAN_FROM) -> None:
        """Make an empty gallery.

        Args:
            model_id: whose embeddings these are.
            dimension: of an embedding.
            scan_from: number of templates from which the 8-bit scan is used.
        """
        self.model_id = model_id
        self.dimension = dimension
        self._scan_from = scan_from
        self._lock = threading.Lock()
        self._users: list[UUID] = []  # by slot
        self._slots: dict[UUID, int] = {}
        self._vectors: FloatArray = np.zeros((0, dimension), np.float32)  # rows past len: zero
        self._index = faiss.IndexScalarQuantizer(
            dimension, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        bound = min(1.0, 6.0 / np.sqrt(dimension))
        self._index.train(np.array([[-bound], [bound]], np.float32).repeat(dimension, axis=1))
        self._stray = 0.0  # the largest distance of a template from its 8-bit copy, so far

    def __len__(self) -> int:
        return len(self._users)

    def __contains__(self, user_id: object) -> bool:
        return user_id in self._slots

    def apply(self, changes: Iterable[tuple[UUID, FloatArray | None]]) -> None:
        """Enter, replace and erase templates, in the order given; all or, on an error, none.

        Costs in proportion to the changes. Nothing of an erased template stays in the gallery.

        Args:
            changes: person and template, float32 (D,), brought to length 1; None erases.

        Raises:
            ValueError: a template has another dimension, no length, or a value that is no number.
        """
        last = dict(changes)
        written = {user: self._unit(vector) for user, vector in last.items() if vector is not None}
        erased = [user for user, vector in last.items() if vector is None]
        with self._lock:
            for user in erased:
                self._erase(user)
            self._write(written)

    def search(self, probes: FloatArray, k: int) -> list[list[Candidate]]:
        """Find the k most similar people for each probe; exact.

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
        with self._lock:
            k = min(k, len(self._users))
            if k < 1 or not len(probes):
                return [[] for _ in probes]
            if len(self._users) < self._scan_from:
                scores = probes @ self._vectors[: len(self._users)].T
                everyone = np.arange(len(self._users))
                return [self._best(everyone, row, k) for row in scores]
            return self._scan(probes, k)

    def similarity(self, user_id: UUID, probe: FloatArray) -> float | None:
        """Cosine of a person's template and a probe, float32 (D,) of length 1; None if absent."""
        template = self.template(user_id)
        return None if template is None else float(template @ probe)

    def template(self, user_id: UUID) -> FloatArray | None:
        """A copy of a person's template, float32 (D,) of length 1; None if there is none."""
        with self._lock:
            slot = self._slots.get(user_id)
            return None if slot is None else self._vectors[slot].copy()

    def _scan(self, probes: FloatArray, k: int) -> list[list[Candidate]]:
        """Take candidates from the 8-bit copy until no other template can be among the best."""
        size = len(self._users)
        results: list[list[Candidate]] = [[] for _ in probes]
        open_probes = np.arange(len(probes))
        fetch = min(size, k + _SPARE)
        while len(open_probes):
            approximate, found = self._index.search(probes[open_probes], fetch)
            undecided = []
            for probe, near, slots in zip(open_probes, approximate, found, strict=True):
                exact = self._vectors[slots] @ probes[probe]
                results[probe] = self._best(slots, exact, k)
                outside = float(near[-1]) + self._reach(probes[probe])
                if fetch < size and results[probe][-1].similarity < outside:
                    undecided.append(probe)
            open_probes = np.array(undecided, np.intp)
            fetch = min(size, fetch * 4)
        return results

    def _reach(self, probe: FloatArray) -> float:
        """By how much an exact similarity can exceed the scan's (Cauchy-Schwarz)."""
        return float(np.linalg.norm(probe)) * self._stray + _ROUNDING

    def _best(self, slots: Slots, scores: FloatArray, k: int) -> list[Candidate]:
        top = np.argpartition(-scores, k - 1)[:k] if k < len(scores) else np.arange(len(scores))
        top = top[np.argsort(-scores[top], kind="stable")]
        return [Candidate(self._users[slots[i]], float(scores[i])) for i in top]

    def _unit(self, vector: FloatArray) -> FloatArray:
        values = np.asarray(vector, np.float64)
        if values.shape != (self.dimension,):
            raise ValueError(
                f"templates of {self.model_id} are ({self.dimension},), not {values.shape}"
            )
        length = np.linalg.norm(values)
        if not np.isfinite(length) or length == 0:
            raise ValueError("a template has no length, or a value that is no number")
        return np.asarray(values / length, np.float32)

    def _write(self, templates: dict[UUID, FloatArray]) -> None:
        if not templates:
            return
        rows = np.stack(list(templates.values()))
        codes = self._index.sa_encode(rows)
        self._stray = max(
            self._stray,
            float(np.linalg.norm(self._index.sa_decode(codes) - rows, axis=1).max()),
        )
        new = [user for user in templates if user not in self._slots]
        self._grow(len(self._users) + len(new))
        for user in new:
            self._slots[user] = len(self._users)
            self._users.append(user)
        slots = [self._slots[user] for user in templates]
        self._vectors[slots] = rows
        self._codes()[slots] = codes

    def _erase(self, user: UUID) -> None:
        """The last template moves into the slot that falls free."""
        slot = self._slots.pop(user, None)
        if slot is None:
            return
        last = len(self._users) - 1
        codes = self._codes()
        if slot != last:
            self._users[slot] = self._users[last]
            self._slots[self._users[slot]] = slot
            self._vectors[slot] = self._vectors[last]
            codes[slot] = codes[last]
        self._users.pop()
        self._vectors[last] = 0
        codes[last] = 0
        self._resize_index(last)

    def _grow(self, size: int) -> None:
        if size > len(self._vectors):
            capacity = max(size, len(self._vectors) * 3 // 2, 1024)
            vectors = np.zeros((capacity, self.dimension), np.float32)
            vectors[: len(self._users)] = self._vectors[: len(self._users)]
            self._vectors = vectors
        self._resize_index(size)

    def _codes(self) -> NDArray[np.uint8]:
        """The index's own memory, (N, D); valid until its size changes."""
        size = self._index.ntotal
        if size == 0:
            return np.zeros((0, self.dimension), np.uint8)
        flat = faiss.rev_swig_ptr(self._index.codes.data(), size * self.dimension)
        codes: NDArray[np.uint8] = flat.reshape(size, self.dimension)
        return codes

    def _resize_index(self, size: int) -> None:
        # faiss has no call to overwrite or drop single entries at a cost independent of the size.
        self._index.codes.resize(size * self.dimension)
        self._index.ntotal = size
