"""Ways to search a gallery in memory: the product's, and what else there is."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol
from uuid import UUID

import faiss
import numpy as np
import numpy.typing as npt

from benchmarks.gallery.templates import Vectors
from ml.gallery.exact_search import Gallery

Rows = npt.NDArray[np.int64]

#: The candidates of each search: the best and the runner-up, which a decision needs.
ASKED = 2

_LOAD_CHUNK = 10_000


class Searcher(Protocol):
    """A gallery of templates."""

    def search(self, probes: Vectors) -> tuple[Rows, Vectors]:
        """Row and cosine of the best template for each probe."""


@lru_cache(1)
def user_ids(count: int) -> Sequence[UUID]:
    """A person for each row of a gallery: of a worker's loading, the database makes them."""
    return [UUID(int=row) for row in range(count)]


class ProductGallery:
    """`ml.gallery.exact_search.Gallery`, loaded in parts as a worker does."""

    def __init__(self, templates: Vectors) -> None:
        self.gallery = Gallery("benchmark", templates.shape[1])
        self.gallery.reserve(len(templates))
        users = user_ids(len(templates))
        for start in range(0, len(templates), _LOAD_CHUNK):
            part = slice(start, start + _LOAD_CHUNK)
            self.gallery.apply(zip(users[part], templates[part], strict=True))

    def search(self, probes: Vectors) -> tuple[Rows, Vectors]:
        """See `Searcher`."""
        found = [ranking[0] for ranking in self.gallery.search(probes, ASKED)]
        rows = np.array([one.user_id.int for one in found], np.int64)
        return rows, np.array([one.similarity for one in found], np.float32)


class MatrixProduct:
    """One product of numpy with all templates in float32."""

    def __init__(self, templates: Vectors) -> None:
        self._templates = templates

    def search(self, probes: Vectors) -> tuple[Rows, Vectors]:
        """See `Searcher`."""
        scores = probes @ self._templates.T
        rows = scores.argmax(1)
        return rows, scores[np.arange(len(probes)), rows]


class FaissIndex:
    """An index of faiss by its factory name."""

    def __init__(self, templates: Vectors, name: str) -> None:
        dimension = templates.shape[1]
        self._index: Any = faiss.index_factory(dimension, name, faiss.METRIC_INNER_PRODUCT)
        if not self._index.is_trained:
            self._index.train(templates[:100_000])
        self._index.add(templates)
        if name.startswith("HNSW"):
            faiss.ParameterSpace().set_index_parameter(self._index, "efSearch", 200)

    def search(self, probes: Vectors) -> tuple[Rows, Vectors]:
        """See `Searcher`."""
        scores, rows = self._index.search(probes, ASKED)
        return rows[:, 0], scores[:, 0]


#: By name: how to make it, and the largest gallery for which that takes a bearable time.
IN_MEMORY: Mapping[str, tuple[Callable[[Vectors], Searcher], int]] = {
    "product's gallery": (ProductGallery, 10_000_000),
    "numpy matrix product": (MatrixProduct, 1_000_000),
    "faiss flat float32": (lambda vectors: FaissIndex(vectors, "Flat"), 1_000_000),
    "faiss 8-bit scalars": (lambda vectors: FaissIndex(vectors, "SQ8"), 1_000_000),
    "faiss HNSW, ef 200": (lambda vectors: FaissIndex(vectors, "HNSW16"), 10_000),
}
