"""The embedding of a visit, and the unknowns that are most like it."""

import asyncio
from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from uuid import UUID

from agents.galleries import Galleries
from agents.unknowns.visit_evidence import Sightings, embedding_of
from domain.decisions.grouping import GroupingPolicy
from domain.decisions.matching import Candidate
from domain.store_rows import Embedding
from sinks.main.unknowns.unknown_store import UnknownStore
from sinks.vector.unknowns.unknown_gallery import LockedGallery

#: Candidates that decide, without those of whom the visit cannot be.
_CANDIDATES = 2


class UnknownLookup:
    """Reads what is known of a visit, and searches the copies of the gallery of unknowns."""

    def __init__(
        self,
        unknowns: UnknownStore,
        sightings: Sightings,
        galleries: Galleries,
        executor: Executor,
    ) -> None:
        """Read from these stores.

        Args:
            unknowns: the faces of visits.
            sightings: the embeddings of faces.
            galleries: this worker's copies of the templates of unknowns.
            executor: where searches run, outside of the event loop.
        """
        self._unknowns = unknowns
        self._sightings = sightings
        self._galleries = galleries
        self._executor = executor

    async def embedding(
        self, visit_id: UUID, policy: GroupingPolicy
    ) -> tuple[str, Embedding] | None:
        """A visit's embedding, with its model; None where its faces do not say who it is.

        Raises:
            StoreUnavailable: a database is unavailable.
        """
        found = await embedding_of(self._unknowns, self._sightings, visit_id, policy)
        if found is not None:
            await self._galleries.get(found[0], found[1].size)
        return found

    async def most_similar(
        self, locked: LockedGallery, model: str, embedding: Embedding, apart: Collection[UUID]
    ) -> Sequence[Candidate]:
        """The unknowns that are most like a visit, as of the moment the gallery was locked.

        Args:
            locked: the gallery, which nothing else changes.
            model: id of the embedder.
            embedding: of the visit, float32 (D,), length 1.
            apart: unknowns of whom it cannot be; so many more are returned.

        Raises:
            StoreUnavailable: the vector database is unavailable.
        """
        gallery = await self._galleries.get(model, embedding.size)
        if self._galleries.revision(model) < locked.revision:
            await self._galleries.refresh(model)
        loop = asyncio.get_running_loop()
        (found,) = await loop.run_in_executor(
            self._executor, gallery.search, embedding[None, :], _CANDIDATES + len(apart)
        )
        return found
