"""Who is it? Probes are searched in the gallery, then it is decided."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from config.observability import metrics
from domain.decisions.matching import Candidate, Decision, MatchPolicy, decide
from ml.gallery.exact_search import Gallery

Embedding = npt.NDArray[np.float32]

#: Candidates that a search by photo is answered with.
RANKED = 10


@dataclass(frozen=True, slots=True)
class Probe:
    """A face to be identified.

    Attributes:
        embedding: float32, shape (dimension,), length 1.
        reliable: whether the embedding says who it is.
    """

    embedding: Embedding
    reliable: bool = True


@dataclass(frozen=True, slots=True)
class Recognition:
    """Who it is, and why.

    Attributes:
        decision: the verdict.
        candidates: who was considered, best first.
    """

    decision: Decision
    candidates: Sequence[Candidate]


@dataclass(frozen=True, slots=True)
class Judge:
    """Identifies probes of one model.

    Attributes:
        gallery: the templates.
        policy: when similarity counts as a match.
    """

    gallery: Gallery
    policy: MatchPolicy

    async def recognise(self, probes: Sequence[Probe], executor: Executor) -> list[Recognition]:
        """Identify probes, all in one search of the gallery.

        Args:
            probes: the faces, one at least.
            executor: where the search runs, off the event loop.
        """
        found = await asyncio.get_running_loop().run_in_executor(
            executor, self._search, np.stack([probe.embedding for probe in probes])
        )
        return [
            Recognition(decide(candidates, self.policy, reliable=probe.reliable), candidates)
            for probe, candidates in zip(probes, found, strict=True)
        ]

    def _search(self, embeddings: Embedding) -> list[list[Candidate]]:
        with metrics.stage("gallery_search"):
            return self.gallery.search(embeddings, RANKED)
