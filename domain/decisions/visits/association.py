"""To which stay does each face of a frame belong? Pure, and the same for any order of the faces."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import numpy as np

from domain.decisions.visits.stays import EVIDENCE, Lookup, Stay, mean_embedding
from domain.decisions.visits.visit_policy import VisitPolicy
from domain.store_rows import Embedding
from domain.visit_events import VisitFace

#: Who was there so many seconds ago is still there more likely than one of all the visitors of the
#: last half minute, so a similarity that is this much lower is enough: a hand before the mouth, a
#: head that turns. Measured in docs/performance.md, "Visits".
_STILL_THERE_SECONDS = 2.0
_STILL_THERE = 0.05

#: In so many seconds no other person takes the place of one who is seen.
_INSTANT = 0.5


class _Pair(NamedTuple):
    """A face and a stay that it may belong to; the smallest is the most certain."""

    rank: int
    distance: float
    face_id: UUID
    stay: int


def associate(
    faces: Sequence[VisitFace], stays: Sequence[Stay], policy: VisitPolicy, lookup: Lookup
) -> Mapping[UUID, int]:
    """Find the stay of each face, never one for two faces.

    By track first, then by user, then by the similarity of the embeddings.

    Args:
        faces: those of one frame.
        stays: those that can be continued.
        policy: the rules.
        lookup: the embeddings.

    Returns:
        By face, the index of its stay; faces that belong to none are left out.
    """
    pairs = sorted(_Pairs(stays, policy, lookup).of(faces))
    found: dict[UUID, int] = {}
    taken: set[int] = set()
    for pair in pairs:
        if pair.face_id not in found and pair.stay not in taken:
            found[pair.face_id] = pair.stay
            taken.add(pair.stay)
    return found


def without_evidence(
    faces: Sequence[VisitFace], stays: Sequence[Stay], found: Mapping[UUID, int]
) -> Mapping[UUID, int]:
    """Find the stay of a face that is too poor to say whose it is: blurred, or cut by the border.

    It belongs to the one stay that was seen a moment ago and has no face in this frame. This says
    nothing about the rest of its track.

    Args:
        faces: those of one frame.
        stays: those that can be continued.
        found: by face, the index of its stay, from `associate`.

    Returns:
        The face with the index of its stay; nothing if more than one face or stay is left.
    """
    left = [face for face in faces if face.face_id not in found and face.reliable]
    if len(left) != 1 or left[0].quality >= EVIDENCE or left[0].user_id is not None:
        return {}
    (face,) = left
    taken = set(found.values())
    free = [
        index
        for index, stay in enumerate(stays)
        if index not in taken and (face.at - stay.last_seen_at).total_seconds() <= _INSTANT
    ]
    return {face.face_id: free[0]} if len(free) == 1 else {}


def alike(one: Stay, other: Stay, lookup: Lookup) -> float:
    """The cosine of the mean embeddings of two stays; -1 if they cannot be compared."""
    if one.model != other.model:
        return -1.0
    return _cosine(mean_embedding(one, lookup), mean_embedding(other, lookup))


class _Pairs:
    """Finds the stays that a face may belong to; mean embeddings are computed when needed."""

    def __init__(self, stays: Sequence[Stay], policy: VisitPolicy, lookup: Lookup) -> None:
        self._stays = stays
        self._policy = policy
        self._lookup = lookup
        self._tracked = {track for stay in stays for track in stay.tracks}
        self._means: dict[int, Embedding | None] = {}

    def of(self, faces: Iterable[VisitFace]) -> Iterator[_Pair]:
        for face in faces:
            is_tracked = face.track_id in self._tracked
            for index, stay in enumerate(self._stays):
                if face.track_id is not None and face.track_id in stay.tracks:
                    yield _Pair(0, -stay.last_seen_at.timestamp(), face.face_id, index)
                elif not is_tracked:
                    yield from self._untracked(face, index, stay)

    def _untracked(self, face: VisitFace, index: int, stay: Stay) -> Iterator[_Pair]:
        if self._is_another_kind(face, stay):
            return
        if face.user_id is not None and stay.user_id is not None:
            if face.user_id == stay.user_id:
                yield _Pair(1, 0.0, face.face_id, index)
        elif face.fresh and face.reliable:
            similarity = self._similarity(face, index)
            if face.user_id is not None and face.user_id == stay.named:
                yield _Pair(2, -similarity, face.face_id, index)
            elif similarity >= self._least(face, stay):
                yield _Pair(3, -similarity, face.face_id, index)

    def _is_another_kind(self, face: VisitFace, stay: Stay) -> bool:
        """Whether one is a person and the other a picture of the person, who has left."""
        away = face.at - stay.last_seen_at >= timedelta(seconds=self._policy.end_after)
        return self._policy.gate and away and face.suspected != stay.presence.is_spoof

    def _least(self, face: VisitFace, stay: Stay) -> float:
        """The least similarity at which the face belongs to the stay."""
        passed = (face.at - stay.last_seen_at).total_seconds()
        still_there = passed <= _STILL_THERE_SECONDS
        return self._policy.similarity - (_STILL_THERE if still_there else 0.0)

    def _similarity(self, face: VisitFace, index: int) -> float:
        if self._stays[index].model != face.model:
            return -1.0
        if index not in self._means:
            self._means[index] = mean_embedding(self._stays[index], self._lookup)
        return _cosine(self._lookup.embeddings.get(face.face_id), self._means[index])


def _cosine(one: Embedding | None, other: Embedding | None) -> float:
    return -1.0 if one is None or other is None else float(np.dot(one, other))
