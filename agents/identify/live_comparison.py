"""Compares what models in shadow say of live faces with what was decided, outside of the batches.

A batch only leaves its faces here. A background task searches them in the galleries of the other
models, and adds what it finds to counts in the main database: no user or face is stored.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import islice
from uuid import UUID

import numpy as np

from agents.galleries import Galleries
from agents.polling import poll
from domain.decisions.matching import Candidate, MatchPolicy, decide
from domain.decisions.model_change import StoredModel
from domain.decisions.shadow_frames import Answers, ShadowCount
from domain.events import DetectedFaces, FaceMatch
from domain.failures import Fatal, Reject, Retry
from sinks.main.models.shadow_counts import CountedFor, ShadowCounts

#: Faces that wait at most; further ones replace the first, and are not counted.
MOST_WAITING = 2000

#: Cameras whose counts wait at most for a database that is unavailable.
_MOST_COUNTS = 10_000

#: Faces that are searched together; a batch of the stage waits for no more.
_AT_ONCE = 64

_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A face that was decided: for which camera, by which model, and whose it is."""

    camera_id: str
    serving: str
    decided: UUID | None
    others: dict[str, bytes]


@dataclass(slots=True, eq=False)
class LiveComparison:
    """The faces of frames in shadow.

    Attributes:
        galleries: this worker's copies of the templates.
        shadows: the models that do not decide.
        policy: by model, which similarity is a match.
        counts: where they are stored.
        executor: where searches run.
    """

    galleries: Galleries
    shadows: Callable[[], Sequence[StoredModel]]
    policy: Callable[[str], MatchPolicy]
    counts: ShadowCounts
    executor: Executor
    _waiting: deque[_Waiting] = field(default_factory=lambda: deque(maxlen=MOST_WAITING))
    _counted: dict[CountedFor, ShadowCount] = field(default_factory=dict)

    def note(self, found: DetectedFaces, matches: Iterable[FaceMatch]) -> None:
        """Leave the faces of a frame that was stored; of other frames, nothing.

        Args:
            found: the faces.
            matches: what was decided of each, in their order.
        """
        if not found.in_shadow:
            return
        for face, match in zip(found.faces, matches, strict=True):
            # The others were not embedded, or do not say who it is, whatever the model.
            if face.best_face_id is None and face.reliable and not face.suspected:
                self._waiting.append(
                    _Waiting(found.event.key, found.model, match.user_id, face.other_embeddings)
                )

    async def follow(self) -> None:
        """Compare and count until cancelled, also after an outage."""
        await poll(self.count, _SECONDS, "counting faces in shadow", (Retry, Reject, Fatal))

    async def count(self) -> None:
        """Compare what waits, and store the counts.

        Raises:
            StoreUnavailable: a database is unavailable; the faces wait, or their counts do.
        """
        while self._waiting:
            some = list(islice(self._waiting, _AT_ONCE))
            await self._compare(some)
            for one in some:
                # Others may have taken the place of the first while these were compared.
                if self._waiting and self._waiting[0] is one:
                    self._waiting.popleft()
        if self._counted:
            await self.counts.add_shadow_counts(self._counted)
            self._counted.clear()

    async def _compare(self, faces: Sequence[_Waiting]) -> None:
        """Count faces under each model, or under none if one cannot be asked."""
        found: list[tuple[CountedFor, Answers | None]] = []
        for model in self.shadows():
            of_others = [one for one in faces if one.serving != model.id]
            answers = await self._answers(model, of_others)
            found += [
                (CountedFor(model.id, face.serving, face.camera_id), one)
                for face, one in zip(of_others, answers, strict=True)
            ]
        for key, one in found:
            self._add(key, one)

    def _add(self, key: CountedFor, answers: Answers | None) -> None:
        if key in self._counted or len(self._counted) < _MOST_COUNTS:
            before = self._counted.get(key, ShadowCount())
            self._counted[key] = ShadowCount.total((before, ShadowCount.of(answers)))

    async def _answers(self, model: StoredModel, faces: Sequence[_Waiting]) -> list[Answers | None]:
        """What a model says of faces; None of those that it has not embedded."""
        size = 4 * model.dimension
        embedded = [one for one in faces if len(one.others.get(model.id, b"")) == size]
        if not embedded:
            return [None] * len(faces)
        probes = np.stack([np.frombuffer(one.others[model.id], "<f4") for one in embedded])
        gallery = await self.galleries.get(model.id, model.dimension)
        candidates = await asyncio.get_running_loop().run_in_executor(
            self.executor, gallery.search, probes, 2
        )
        policy = self.policy(model.id).in_gallery(len(gallery))
        found = {
            id(face): _answers_of(face.decided, ranked, policy, face.decided in gallery)
            for face, ranked in zip(embedded, candidates, strict=True)
        }
        return [found.get(id(face)) for face in faces]


def _answers_of(
    decided: UUID | None, ranked: Sequence[Candidate], policy: MatchPolicy, is_covered: bool
) -> Answers:
    best = ranked[0].user_id if ranked else None
    return Answers(decided, is_covered, best, decide(ranked, policy).user_id)
