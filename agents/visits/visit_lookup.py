"""What the decisions about visits may know: embeddings of faces that were seen, and the gallery."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from agents.galleries import Galleries
from agents.vetoes import VetoesOf, no_vetoes
from domain.decisions.matching import Decision, MatchPolicy, decide_without
from domain.decisions.visits.stays import Lookup
from domain.store_rows import Embedding
from sinks.vector.vector_store import Vectors

if TYPE_CHECKING:
    from ml.gallery.exact_search import Gallery

#: Erased users that are remembered: for longer than the gallery's copy may still have them.
_ERASED = 10_000


class VisitLookup:
    """Reads embeddings, and searches the mean embedding of a visit in the gallery."""

    def __init__(
        self,
        vectors: Vectors,
        galleries: Galleries,
        policy: Callable[[str], MatchPolicy],
        vetoes: VetoesOf = no_vetoes,
    ) -> None:
        """Read from this store.

        Args:
            vectors: the vector database.
            galleries: this worker's copies of the templates.
            policy: by model, which similarity is a match.
            vetoes: by model, the faces that are not a user.
        """
        self._vectors = vectors
        self._galleries = galleries
        self._policy = policy
        self._vetoes = vetoes
        self._erased: dict[UUID, None] = {}
        self._searched: dict[str, Gallery] = {}

    @property
    def erased(self) -> Collection[UUID]:
        """Users that no decision names, because they do not exist any more."""
        return self._erased.keys()

    def forget_users(self, users: Iterable[UUID]) -> None:
        """Name these users no more; the gallery's copy may still have them."""
        self._erased |= dict.fromkeys(users)
        while len(self._erased) > _ERASED:
            self._erased.pop(next(iter(self._erased)))

    async def embeddings(self, faces: Iterable[tuple[str, UUID]]) -> dict[UUID, Embedding]:
        """The embeddings of faces, as far as they are stored.

        Their galleries are ready to be searched afterwards.

        Args:
            faces: the model and the id of each.

        Raises:
            StoreUnavailable: the vector database is unavailable.
        """
        by_model: dict[str, set[UUID]] = defaultdict(set)
        for model, face_id in faces:
            by_model[model].add(face_id)
        found: dict[UUID, Embedding] = {}
        for model, face_ids in by_model.items():
            of_model = await self._vectors.sightings_by_id(model, face_ids)
            if of_model and model not in self._searched:
                dimension = next(iter(of_model.values())).size
                self._searched[model] = await self._galleries.get(model, dimension)
            found |= of_model
        return found

    async def know(self, users: Iterable[tuple[str, UUID]]) -> None:
        """Have the copies of the gallery contain users whom the identify agent has recognised.

        A user who was enrolled a moment ago may not be in this worker's copy yet.

        Args:
            users: the model and the id of each.

        Raises:
            StoreUnavailable: the vector database is unavailable.
        """
        behind = {
            model
            for model, user in users
            if model in self._searched
            and user not in self._searched[model]
            and user not in self._erased
        }
        for model in behind:
            await self._galleries.refresh(model)

    def with_embeddings(self, embeddings: dict[UUID, Embedding]) -> Lookup:
        """A lookup with these embeddings."""
        return Lookup(embeddings, self._decide)

    def _decide(self, model: str, probe: Embedding) -> Decision:
        gallery = self._searched.get(model)
        if gallery is None:
            return Decision(None, None, None, "empty_gallery")
        # One candidate more than decides for each user that may have been erased just now.
        probes = np.ascontiguousarray(probe[None, :])
        (candidates,) = self._vetoes(model).marked(probes, gallery.search(probes, 4))
        policy = self._policy(model).in_gallery(len(gallery))
        decision, _ = decide_without(self._erased, candidates, policy)
        return decision
