"""A coarse copy of many unit vectors: four bits a component, scanned at the speed of memory.

A random rotation, a new one for every copy, is applied to the vectors first. Whatever they were
before, their components are then those of a random direction: near normal, none heavier than the
rest, so one fixed grid of 16 steps serves all dimensions and no training is needed. And the error
of a scan becomes a random one: what the grid leaves of a vector x is, seen from any probe p, a
random direction orthogonal to x, whose part along p exceeds t |rest| / sqrt(D - 1) with odds of
exp(-t^2 / 2) (concentration on the sphere). J. Gao, C. Long, "RaBitQ: Quantizing High-Dimensional
Vectors with a Theoretical Error Bound", SIGMOD 2024, argue alike.

The scan itself is faiss's "fast scan" (16 table entries in a register; Andre, Kermarrec, Le
Scouarnec, VLDB 2015) with one four-bit code a dimension.
"""

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from domain.arrays import FloatArray

Slots = NDArray[np.int64]
Levels = NDArray[np.uint8]

_LEVELS = 16

# Vectors coded at a time: bounds the memory that it takes.
_CHUNK = 8192

# Width of the grid's steps, in deviations of a component. 0.335 has the least mean error for a
# normal distribution (J. Max, 1960); a little wider clips less and so has the lighter tail.
_STEP = 0.40

# Each vector that should have been found is missed with odds of exp(-12.5), four in a million.
_SIGMAS = 5.0

# A bound holds for all vectors whose rest is at most so long (one in a thousand is longer), and
# points so far along the vector itself.
_USUAL_REST, _REST_SPREAD = 0.11, 0.65
_USUAL_ALONG = 0.05

# How faiss lays its codes out (``pq4_fast_scan.h``): blocks of 32 vectors; in a block 16 bytes for
# each component; in a byte the codes of one vector of the first half, and one of the second above.
_BLOCK = 32
_PLACES = np.array([0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15]).argsort()

#: From this many components on, all probes together, a scan is shared among the cores: it takes
#: tens of milliseconds then. Below, what OpenMP's threads spend spinning after it (2 ms) is more
#: than they save.
SHARED_FROM = 2_000_000_000

# As many as OpenMP would take by itself: those of the process, or OMP_NUM_THREADS.
_CORES = faiss.omp_get_max_threads()

# Rounding of float32 sums of products of unit vectors.
_ROUNDING = 1e-5


class CoarseCopy:
    """Codes by slot, 0 to size - 1; not safe for use by several threads."""

    def __init__(self, dimension: int, *, shared_from: int = SHARED_FROM) -> None:
        """Make an empty copy.

        Args:
            dimension: of its vectors.
            shared_from: components of all probes and vectors from which cores share a scan.
        """
        self.dimension = dimension
        self._shared_from = shared_from
        drawn = np.random.default_rng().standard_normal((dimension, dimension))
        self._rotation: FloatArray = np.linalg.qr(drawn)[0].astype(np.float32)
        self._step = _STEP / np.sqrt(dimension)
        self._longest_rest = _USUAL_REST + _REST_SPREAD / np.sqrt(dimension)
        self._strays: set[int] = set()
        # Its stubs do not know what it inherits.
        index: Any = faiss.IndexPQFastScan(dimension, dimension, 4, faiss.METRIC_INNER_PRODUCT)
        grid = ((np.arange(_LEVELS) - (_LEVELS - 1) / 2) * self._step).astype(np.float32)
        faiss.copy_array_to_vector(np.tile(grid, dimension), index.pq.centroids)
        index.is_trained = True
        self._index = index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def strays(self) -> Slots:
        """Slots for which `outside` does not hold, because the grid fits them badly."""
        return np.fromiter(self._strays, np.int64, len(self._strays))

    def append(self, vectors: FloatArray) -> None:
        """Add vectors, float32 (N, D) of length 1, in the slots that follow."""
        first = len(self)
        self._resize(first + len(vectors))
        for start in range(0, len(vectors), _CHUNK):
            part = vectors[start : start + _CHUNK]
            slots = np.arange(first + start, first + start + len(part))
            self._set(slots, self._levels(part, slots))

    def overwrite(self, slots: Slots, vectors: FloatArray) -> None:
        """Put vectors, float32 (N, D) of length 1, into N slots that are there."""
        self._strays.difference_update(slots.tolist())
        self._set(slots, self._levels(vectors, slots))

    def drop_last(self, into: int) -> None:
        """Move the last vector into a slot whose own is erased, and shrink by one."""
        last = len(self) - 1
        self._set(np.array([into]), self._get(np.array([last])))
        self._set(np.array([last]), np.zeros((1, self.dimension), np.uint8))
        self._strays.discard(into)
        if last in self._strays:
            self._strays.discard(last)
            if into != last:
                self._strays.add(into)
        self._resize(last)

    def search(self, probes: FloatArray, count: int) -> tuple[FloatArray, Slots]:
        """The slots that look most similar.

        Args:
            probes: float32 (M, D) of length 1.
            count: how many, at most the size.

        Returns:
            Approximate similarities, best first, and slots: each (M, count).
        """
        turned = np.ascontiguousarray(probes @ self._rotation, np.float32)
        # OpenMP keeps this number for each thread that calls.
        shared = turned.size * len(self) >= self._shared_from
        faiss.omp_set_num_threads(_CORES if shared else 1)
        approximate, slots = self._index.search(turned, count)
        return approximate, slots

    def outside(self, probe: FloatArray, least: float) -> float:
        """What a vector can be like that a search left out.

        Args:
            probe: float32 (D,) of length 1.
            least: the last approximate similarity that the search returned.

        Returns:
            No vector outside its result is more similar than this: strays left aside, and but for
            the odds at `_SIGMAS`.
        """
        # The scan's tables hold bytes; the largest of a component's 16 products sets their scale.
        turned = probe @ self._rotation
        unit = float(np.abs(turned).max()) * (_LEVELS - 1) * self._step / 255
        by_table = unit * np.sqrt(self.dimension / 12)
        by_grid = self._longest_rest / np.sqrt(max(self.dimension - 1, 1))
        slack = _SIGMAS * float(np.hypot(by_table, by_grid)) + unit + _ROUNDING
        return float((least + slack) / (1 - _USUAL_ALONG))

    def decoded(self) -> FloatArray:
        """What the codes say, turned back: float32 (size, D)."""
        levels = self._get(np.arange(len(self)))
        grid = (levels - np.float32((_LEVELS - 1) / 2)) * np.float32(self._step)
        return np.asarray(grid @ self._rotation.T, np.float32)

    def _levels(self, vectors: FloatArray, slots: Slots) -> Levels:
        """Each component's step on the grid, uint8 (N, D); notes how well they fit."""
        turned = vectors @ self._rotation
        steps = np.clip(np.floor(turned / self._step + _LEVELS / 2), 0, _LEVELS - 1)
        rest = turned - (steps - np.float32((_LEVELS - 1) / 2)) * self._step
        along = np.einsum("ij,ij->i", rest, turned)
        stray = (np.linalg.norm(rest, axis=1) > self._longest_rest) | (along > _USUAL_ALONG)
        self._strays.update(slots[stray].tolist())
        return np.asarray(steps, np.uint8)

    def _get(self, slots: Slots) -> Levels:
        block, place, shift = _address(slots)
        found = self._memory()[block, : self.dimension, place] >> shift
        return np.asarray(found & (_LEVELS - 1), np.uint8)

    def _set(self, slots: Slots, levels: Levels) -> None:
        """Slots are different from one another; two may share their bytes."""
        memory = self._memory()
        block, place, shift = _address(slots)
        for half in (0, 4):
            chosen = np.flatnonzero(shift[:, 0] == half)
            where = (block[chosen], slice(self.dimension), place[chosen])
            kept = memory[where] & np.uint8((_LEVELS - 1) << (4 - half))
            memory[where] = kept | levels[chosen] << np.uint8(half)

    def _memory(self) -> NDArray[np.uint8]:
        """The index's own memory, (blocks, components, 16); valid until its size changes."""
        index = self._index
        size = index.ntotal2 * index.M2 // 2
        flat = faiss.rev_swig_ptr(index.codes.get(), size) if size else np.zeros(0, np.uint8)
        memory: NDArray[np.uint8] = flat.reshape(-1, index.M2, _BLOCK // 2)
        return memory

    def _resize(self, size: int) -> None:
        # faiss has no call to overwrite or drop single entries at a cost independent of the size.
        index, before = self._index, self._index.ntotal2
        index.ntotal, index.ntotal2 = size, -(-size // _BLOCK) * _BLOCK
        index.codes.resize(index.ntotal2 * index.M2 // 2)
        if index.ntotal2 > before:
            self._memory()[before // _BLOCK :] = 0


def _address(slots: Slots) -> tuple[Slots, Slots, Levels]:
    """Block, byte in the block, and shift in the byte of each slot, the last as (N, 1)."""
    inside = slots % _BLOCK
    shift = np.where(inside < _BLOCK // 2, 0, 4).astype(np.uint8)
    return slots // _BLOCK, _PLACES[inside % (_BLOCK // 2)], shift[:, None]
