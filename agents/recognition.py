"""Who is it? The recents of the camera are asked first, then the gallery; then it is decided."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from config import metrics
from ml.decision import Candidate, Decision, MatchPolicy, decide, same_face
from ml.gallery import Gallery
from ml.registry import SAME_FACE
from sinks.rows import RecentFace

Embedding = npt.NDArray[np.float32]

#: Candidates that a search by photo is answered with.
RANKED = 10


@dataclass(frozen=True, slots=True)
class Probe:
    """A face to be identified.

    Attributes:
        embedding: float32, shape (dimension,), length 1.
        recents: what the same camera saw in the last seconds.
    """

    embedding: Embedding
    recents: Sequence[RecentFace] = ()


@dataclass(frozen=True, slots=True)
class Recognition:
    """Who it is, why, and who else was considered (best first)."""

    decision: Decision
    candidates: Sequence[Candidate]
    answered_by: Literal["recents", "gallery"]


async def recognise(
    probes: Sequence[Probe], gallery: Gallery, policy: MatchPolicy, executor: Executor
) -> list[Recognition]:
    """Identify probes, all in one search of the gallery.

    Args:
        probes: the faces.
        gallery: templates of the same model.
        policy: when similarity counts as a match.
        executor: where the search runs, off the event loop.
    """
    remembered = [recall(probe, gallery, policy) for probe in probes]
    open_probes = [
        probe.embedding for probe, known in zip(probes, remembered, strict=True) if known is None
    ]
    found = iter(
        await asyncio.get_running_loop().run_in_executor(executor, _search, gallery, open_probes)
    )
    answers = [known or _decided(next(found), policy, "gallery") for known in remembered]
    for answer in answers:
        metrics.IDENTIFIED.labels(answered_by=answer.answered_by).inc()
        metrics.MATCHES.labels(outcome=answer.decision.reason).inc()
    return answers


def recall(probe: Probe, gallery: Gallery, policy: MatchPolicy) -> Recognition | None:
    """Decide by what the camera just saw, when that is safe; None asks for a search.

    The face must be the one just seen (a far stricter threshold than a match), and its person
    must still be in the gallery. Similarity and runner-up are measured anew against the present
    templates, and the same rule decides; only the search for candidates is spared.
    """
    last = _just_seen(probe, gallery.model_id)
    if last is None:
        return None
    considered = [last.user_id, last.runner_up_user_id]
    candidates = [
        Candidate(user_id, similarity)
        for user_id in considered
        if user_id is not None
        and (similarity := gallery.similarity(user_id, probe.embedding)) is not None
    ]
    candidates.sort(key=lambda candidate: -candidate.similarity)
    answer = _decided(candidates, policy, "recents")
    return answer if answer.decision.user_id == last.user_id else None


def _just_seen(probe: Probe, model: str) -> RecentFace | None:
    """The last recognised face at this camera that is certainly the same as this one."""
    return next(
        (
            recent
            for recent in sorted(probe.recents, key=lambda recent: recent.seen_at, reverse=True)
            if recent.model == model
            and recent.user_id is not None
            and same_face(probe.embedding, np.frombuffer(recent.embedding, "<f4"), SAME_FACE)
        ),
        None,
    )


def _search(gallery: Gallery, embeddings: Sequence[Embedding]) -> list[list[Candidate]]:
    if not embeddings:
        return []
    with metrics.stage("gallery_search"):
        return gallery.search(np.stack(embeddings), RANKED)


def _decided(
    candidates: Sequence[Candidate],
    policy: MatchPolicy,
    answered_by: Literal["recents", "gallery"],
) -> Recognition:
    return Recognition(decide(candidates, policy), candidates, answered_by)
