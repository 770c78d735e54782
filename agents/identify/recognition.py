"""Who is it? The recents of the camera are asked first, then the gallery; then it is decided."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from config.observability import metrics
from domain.decisions.matching import (
    Candidate,
    Decision,
    MatchPolicy,
    decide,
    rival_bound,
    same_face,
)
from domain.records import RecentFace
from ml.gallery.exact_search import Gallery
from ml.runtime.registry import SAME_FACE

Embedding = npt.NDArray[np.float32]

#: Candidates that a search by photo is answered with.
RANKED = 10


@dataclass(frozen=True, slots=True)
class Probe:
    """A face to be identified.

    Attributes:
        embedding: float32, shape (dimension,), length 1.
        recents: what the same camera saw in the last seconds.
        reliable: whether the embedding says who it is.
    """

    embedding: Embedding
    recents: Sequence[RecentFace] = ()
    reliable: bool = True


@dataclass(frozen=True, slots=True)
class Recognition:
    """Who it is, and why.

    Attributes:
        decision: the verdict.
        candidates: who was considered, best first.
        answered_by: the recents cache, or the gallery.
        rivals_at_most: nobody else is more similar than this; None when there is nobody else.
        revision: of the gallery that decided.
    """

    decision: Decision
    candidates: Sequence[Candidate]
    answered_by: Literal["recents", "gallery"]
    rivals_at_most: float | None
    revision: int


@dataclass(frozen=True, slots=True)
class Judge:
    """Identifies probes of one model.

    Attributes:
        gallery: the templates.
        revision: the last change that the gallery holds for certain.
        policy: when similarity counts as a match.
    """

    gallery: Gallery
    revision: int
    policy: MatchPolicy

    async def recognise(self, probes: Sequence[Probe], executor: Executor) -> list[Recognition]:
        """Identify probes, all in one search of the gallery.

        Args:
            probes: the faces.
            executor: where the search runs, off the event loop.
        """
        remembered = [self.recall(probe) for probe in probes]
        pairs = list(zip(probes, remembered, strict=True))
        unknown = [probe for probe, known in pairs if known is None]
        found = iter(
            await asyncio.get_running_loop().run_in_executor(
                executor, self._search, [probe.embedding for probe in unknown]
            )
        )
        return [known or self._decided(next(found), probe) for probe, known in pairs]

    def recall(self, probe: Probe) -> Recognition | None:
        """Decide by what the camera just saw; None asks for a search of the gallery.

        A search is spared only where it provably could not decide otherwise: the gallery has not
        changed, the person's similarity is measured anew, and nobody else can be similar enough
        to come within the margin (`domain.decisions.matching.rival_bound`).
        """
        if not probe.reliable:
            return None
        for recent in sorted(probe.recents, key=lambda recent: recent.seen_at, reverse=True):
            if recent.model != self.gallery.model_id or recent.revision != self.revision:
                continue
            answer = self._as_before(probe.embedding, recent)
            if answer is not None:
                return answer
        return None

    def _as_before(self, probe: Embedding, recent: RecentFace) -> Recognition | None:
        """The earlier decision, if it holds for this probe too."""
        earlier = np.frombuffer(recent.embedding, "<f4")
        if recent.user_id is None or not same_face(probe, earlier, SAME_FACE):
            return None
        similarity = self.gallery.similarity(recent.user_id, probe)
        rivals = rival_bound(recent.runner_up_similarity, float(probe @ earlier))
        if similarity is None or similarity - rivals < self.policy.margin:
            return None
        candidates = [
            Candidate(user_id, measured)
            for user_id in (recent.user_id, recent.runner_up_user_id)
            if user_id is not None
            and (measured := self.gallery.similarity(user_id, probe)) is not None
        ]
        return Recognition(
            decide(candidates, self.policy),
            candidates,
            "recents",
            None if recent.runner_up_similarity is None else rivals,
            self.revision,
        )

    def _search(self, embeddings: Sequence[Embedding]) -> list[list[Candidate]]:
        if not embeddings:
            return []
        with metrics.stage("gallery_search"):
            return self.gallery.search(np.stack(embeddings), RANKED)

    def _decided(self, candidates: Sequence[Candidate], probe: Probe) -> Recognition:
        decision = decide(candidates, self.policy, reliable=probe.reliable)
        return Recognition(
            decision, candidates, "gallery", decision.runner_up_similarity, self.revision
        )
