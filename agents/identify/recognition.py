"""Searches faces in the gallery, and decides who each one is."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import groupby
from uuid import UUID

import numpy as np
import numpy.typing as npt

from agents.galleries import Galleries
from agents.vetoes import VetoesOf, no_vetoes
from config.observability import metrics
from domain.decisions.matching import (
    Candidate,
    Decision,
    MatchPolicy,
    decide_without,
    withheld,
)
from domain.events import DetectedFace, DetectedFaces, EventKind
from domain.store_rows import EventKey
from ml.gallery.exact_search import Gallery
from ml.gallery.vetoed_faces import VetoedFaces

#: Number of candidates in the answer to a search by photo.
RANKED = 10


@dataclass(frozen=True, slots=True)
class Recognition:
    """The decision about a face.

    Attributes:
        decision: who it is, and why.
        candidates: the most similar users who were not erased, best first.
        was_erased: whether the face matched an erased user who was still in the gallery's copy.
    """

    decision: Decision
    candidates: Sequence[Candidate]
    was_erased: bool = False


@dataclass(frozen=True, slots=True)
class SearchedImage:
    """A frame, or the photo of a search, whose faces were searched in the gallery.

    Attributes:
        found: the faces.
        candidates: of each face, best first.
        policy: when similarity counts as a match.
    """

    found: DetectedFaces
    candidates: Sequence[Sequence[Candidate]]
    policy: MatchPolicy

    @property
    def key(self) -> EventKey:
        """The name of the result in the ledger."""
        return EventKey(self.found.event.uuid, self.found.model)

    def could_name(self) -> set[UUID]:
        """The users that the result may name, as a match or as the best candidate of an unknown.

        The answer to a search names all candidates.
        """
        is_search = self.found.event.kind is EventKind.SEARCH
        return {
            one.user_id
            for candidates in self.candidates
            for one in candidates
            if is_search or one.similarity >= min(self.policy.threshold, candidates[0].similarity)
        }

    def after_merges(self, merged: Mapping[UUID, UUID]) -> "SearchedImage":
        """The same with the users who are left in place of those who were merged into them.

        Args:
            merged: by user the one who is left; the gallery's copy may still have both.
        """
        if not merged:
            return self
        return replace(self, candidates=[_after_merges(one, merged) for one in self.candidates])

    def decide(self, erased: Collection[UUID] = ()) -> list[Recognition]:
        """Decide about every face, in order.

        Args:
            erased: those users of `could_name` that do not exist any more.
        """
        return [
            self._decide(face, candidates, erased)
            for face, candidates in zip(self.found.faces, self.candidates, strict=True)
        ]

    def _decide(
        self, face: DetectedFace, candidates: Sequence[Candidate], erased: Collection[UUID]
    ) -> Recognition:
        decision, was_erased = decide_without(
            erased, candidates, self.policy, reliable=face.reliable
        )
        if face.suspected:
            decision = withheld(decision)
        left = [one for one in candidates if one.user_id not in erased]
        return Recognition(decision, left, was_erased)


class Recogniser:
    """Searches faces in this worker's copies of the gallery."""

    def __init__(
        self,
        galleries: Galleries,
        policy: Callable[[str], MatchPolicy],
        executor: Executor,
        vetoes: VetoesOf = no_vetoes,
    ) -> None:
        """Search in these galleries.

        Args:
            galleries: this worker's copies of the templates.
            policy: by model, which similarity is a match.
            executor: where searches run, outside of the event loop.
            vetoes: by model, the faces that are not a user.
        """
        self._galleries = galleries
        self._policy = policy
        self._executor = executor
        self._vetoes = vetoes

    async def search(self, images: Sequence[DetectedFaces]) -> list[SearchedImage]:
        """Find the candidates of all faces, of each model in one search.

        Raises:
            StoreUnavailable: a gallery is not loaded yet, and the vector database is unavailable.
        """
        searched: list[SearchedImage] = []
        by_model = sorted(images, key=lambda found: found.model)
        for model, group in groupby(by_model, key=lambda found: found.model):
            of_model = list(group)
            faces = [face for found in of_model for face in found.faces]
            candidates, policy = await self._candidates(model, faces)
            ranked = iter(candidates)
            searched += [
                SearchedImage(found, [next(ranked) for _ in found.faces], policy)
                for found in of_model
            ]
        return searched

    async def _candidates(
        self, model: str, faces: Sequence[DetectedFace]
    ) -> tuple[Sequence[Sequence[Candidate]], MatchPolicy]:
        """The candidates of faces, and the policy for the gallery that they were found in."""
        policy = self._policy(model)
        if not faces:
            return (), policy
        probes = np.stack([np.frombuffer(face.embedding, "<f4") for face in faces])
        gallery = await self._galleries.get(model, probes.shape[1])
        candidates = await asyncio.get_running_loop().run_in_executor(
            self._executor, _search, gallery, probes, self._vetoes(model)
        )
        return candidates, policy.in_gallery(len(gallery))


def _search(
    gallery: Gallery, probes: npt.NDArray[np.float32], vetoes: VetoedFaces
) -> list[list[Candidate]]:
    with metrics.stage("gallery_search"):
        return vetoes.marked(probes, gallery.search(probes, RANKED))


def _after_merges(
    candidates: Sequence[Candidate], merged: Mapping[UUID, UUID]
) -> Sequence[Candidate]:
    """Each user once, by the template that is the most similar; candidates are ordered by that."""
    found: dict[UUID, Candidate] = {}
    for one in candidates:
        user_id = merged.get(one.user_id, one.user_id)
        found.setdefault(user_id, replace(one, user_id=user_id))
    return list(found.values())
