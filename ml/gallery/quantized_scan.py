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

from collections.abc import Iterable
from math import hypot, sqrt
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from domain.arrays import FloatArray

Slots = NDArray[np.int64]
Codes = NDArray[np.uint8]

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
        # Python's floats: NumPy's would make everything that they are multiplied with float64.
        self._step = _STEP / sqrt(dimension)
        self._longest_rest = _USUAL_REST + _REST_SPREAD / sqrt(dimension)
        self._strays: set[int] = set()
        self._strays_changed = False
        # Its stubs do not know what it inherits.
        index: Any = faiss.IndexPQFastScan(dimension, dimension, 4, faiss.METRIC_INNER_PRODUCT)
        grid = ((np.arange(_LEVELS) - (_LEVELS - 1) / 2) * self._step).astype(np.float32)
        faiss.copy_array_to_vector(np.tile(grid, dimension), index.pq.centroids)
        index.is_trained = True
        self._index = index
        self._packer = index.get_CodePacker()
        self._no_code = np.zeros(self._packer.code_size, np.uint8)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def strays(self) -> Slots:
        """Slots for which `at_most` does not hold, because the grid fits them badly."""
        return np.fromiter(self._strays, np.int64, len(self._strays))

    def strays_changed(self) -> bool:
        """Whether these slots, or the vectors in them, are others than at the last call."""
        changed, self._strays_changed = self._strays_changed, False
        return changed

    def append(self, vectors: FloatArray) -> None:
        """Add vectors, float32 (N, D) of length 1, in the slots that follow."""
        for start in range(0, len(vectors), _CHUNK):
            part = vectors[start : start + _CHUNK]
            slots = np.arange(len(self), len(self) + len(part))
            # `add` of the index would encode again, and slower.
            flat: Any = faiss.IndexPQ(self.dimension, self.dimension, 4, faiss.METRIC_INNER_PRODUCT)
            flat.add_sa_codes(self._codes(part, slots))
            self._index.merge_from(faiss.IndexPQFastScan(flat))

    def overwrite(self, slots: Slots, vectors: FloatArray) -> None:
        """Put vectors, float32 (N, D) of length 1, into N slots that are there."""
        self._forget_strays(slots.tolist())
        for slot, code in zip(slots.tolist(), self._codes(vectors, slots), strict=True):
            self._pack(slot, code)

    def erase(self, slot: int, last: int) -> None:
        """Erase a vector; the one in the last slot takes its place, and the last slot is empty."""
        moves = last in self._strays and slot != last
        self._forget_strays((slot, last))
        if moves:
            self._strays.add(slot)
        self._pack(slot, self._packer.unpack_1(*self._place(last)))
        # What `shrink` drops would stay in memory.
        self._pack(last, self._no_code)

    def shrink(self, size: int) -> None:
        """Drop the last slots, which `erase` left empty; takes milliseconds for a million."""
        if size < len(self):
            self._index.remove_ids(faiss.IDSelectorRange(size, len(self)))

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

    def at_most(self, probe: FloatArray, approximate: FloatArray) -> FloatArray:
        """How similar vectors can be of which a scan says how similar they look.

        Args:
            probe: float32 (D,) of length 1.
            approximate: float32 (N,), as `search` returns them.

        Returns:
            float32 (N,): no vector that looks so similar, or less, is more similar than this:
            strays left aside, and but for the odds at `_SIGMAS`.
        """
        # The scan's tables hold bytes; the largest of a component's 16 products sets their scale.
        turned = probe @ self._rotation
        unit = float(np.abs(turned).max()) * (_LEVELS - 1) * self._step / 255
        by_table = unit * sqrt(self.dimension / 12)
        by_grid = self._longest_rest / sqrt(max(self.dimension - 1, 1))
        slack = _SIGMAS * hypot(by_table, by_grid) + unit + _ROUNDING
        return (approximate + slack) / (1 - _USUAL_ALONG)

    def _forget_strays(self, slots: Iterable[int]) -> None:
        for slot in slots:
            if slot in self._strays:
                self._strays.discard(slot)
                self._strays_changed = True

    def _codes(self, vectors: FloatArray, slots: Slots) -> Codes:
        """Each component's step on the grid, packed, uint8 (N, D / 2); notes the strays."""
        turned = vectors @ self._rotation
        steps = turned / self._step
        steps += _LEVELS / 2
        np.clip(np.floor(steps, out=steps), 0, _LEVELS - 1, out=steps)
        rest = (steps - (_LEVELS - 1) / 2) * -self._step
        rest += turned
        along = np.einsum("ij,ij->i", rest, turned)
        square = np.einsum("ij,ij->i", rest, rest)
        stray = (square > self._longest_rest**2) | (along > _USUAL_ALONG)
        if stray.any():
            self._strays.update(slots[stray].tolist())
            self._strays_changed = True
        return _packed(steps.astype(np.uint8))

    def _pack(self, slot: int, code: Codes) -> None:
        block, offset = self._place(slot)
        self._packer.pack_1(code, offset, block)

    def _place(self, slot: int) -> tuple[Codes, int]:
        """The block of codes that a slot is in, as the packer expects it, and its place there."""
        codes, packer = self._index.codes, self._packer
        blocks = faiss.rev_swig_ptr(codes.get(), codes.size()).reshape(-1, packer.block_size)
        block, offset = divmod(slot, packer.nvec)
        return blocks[block : block + 1], offset


def _packed(steps: Codes) -> Codes:
    """Two steps a byte, the first one in the lower half, as faiss reads them; see `_codes`."""
    if steps.shape[1] % 2:
        steps = np.pad(steps, ((0, 0), (0, 1)))
    return steps[:, ::2] | (steps[:, 1::2] << np.uint8(4))
