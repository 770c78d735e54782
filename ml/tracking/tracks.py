"""Which track a face belongs to, and the track's embedding.

`ml.tracking.paths` follows faces by their boxes; here the embeddings of those that are due decide
whether a new path continues a track that was lost, and notice when a path has passed from one
person to another. A track's embedding is the mean of its best ones, weighted by quality: a better
probe than any single one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

import numpy as np

from domain.arrays import FloatArray
from domain.decisions.liveness import CheckedFace, fused
from domain.liveness_result import Liveness
from ml.tracking.paths import Step
from ml.tracking.seen_faces import EVIDENCE

# A useless quality must not make the weights of a mean vanish.
_LEAST_WEIGHT = 0.05


@dataclass(frozen=True, slots=True)
class TrackPolicy:
    """When two embeddings are of one track. All similarities are cosines.

    Attributes:
        exemplars: how many embeddings a track keeps, the best by quality.
        join: least similarity of a new path's face to a lost track that it continues.
        join_near: the same where the place agrees.
        split: a face that is less similar to its track than this is another person's.
    """

    exemplars: int = 5
    join: float = 0.5
    join_near: float = 0.3
    split: float = 0.35


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedFace:
    """A face that was embedded.

    Attributes:
        face_id: names it, and its crop.
        embedding: float32 (D,) of length 1.
        quality: fitness for recognition, 0 to 1.
        reliable: whether the embedding says who it is.
        liveness: whether a person is there; None where it is not checked.
    """

    face_id: UUID
    embedding: FloatArray
    quality: float
    reliable: bool
    liveness: Liveness | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """A person who is followed at one camera.

    Attributes:
        id: UUIDv5 of the first face, in the namespace of the camera's state.
        exemplars: its best faces, the best first; never empty.
        embedding: float32 (D,) of length 1: the weighted mean of the exemplars.
    """

    id: UUID
    exemplars: tuple[EmbeddedFace, ...]
    embedding: FloatArray

    @property
    def best(self) -> EmbeddedFace:
        """The face whose crop stands for the track."""
        return self.exemplars[0]

    @property
    def reliable(self) -> bool:
        """Whether the embedding says who it is."""
        return self.best.reliable

    @property
    def liveness(self) -> Liveness | None:
        """Whether a person is there, by all exemplars; None where no model was asked."""
        return fused(
            CheckedFace(one.quality, one.face_id, one.liveness)
            for one in self.exemplars
            if one.liveness is not None
        )


#: The tracks of one camera by the number of the path that follows each.
Tracks = Mapping[int, Track]


def settle(
    tracks: Tracks,
    steps: Sequence[Step],
    embedded: Mapping[int, EmbeddedFace],
    policy: TrackPolicy,
    namespace: UUID,
) -> tuple[dict[int, Track], list[Track]]:
    """Decide which tracks the faces of one frame belong to.

    Args:
        tracks: after the previous frame.
        steps: of each face of the frame, from `ml.tracking.paths.follow`.
        embedded: by index, the faces whose steps were due.
        policy: the rules.
        namespace: of the identifiers of tracks.

    Returns:
        The tracks now, and the track of each face. No two faces of a frame have the same one.
    """
    now = dict(tracks)
    for index, path in _continuations(tracks, steps, embedded, policy):
        now[steps[index].path] = now.pop(path)
    result = []
    for index, step in enumerate(steps):
        track, face = now.get(step.path), embedded.get(index)
        if face is not None:
            if track is None or _is_another(track, face, policy):
                track = _track(uuid5(namespace, str(face.face_id)), (face,))
            else:
                track = _with(track, face, policy)
            now[step.path] = track
        result.append(now[step.path])
    return now, result


def _continuations(
    tracks: Tracks, steps: Sequence[Step], embedded: Mapping[int, EmbeddedFace], policy: TrackPolicy
) -> list[tuple[int, int]]:
    """New faces with the lost path that each continues: the most similar pairs first."""
    new = [index for index, step in enumerate(steps) if step.due == "new"]
    # All new faces of a frame have the same lost paths.
    lost = [path for path in steps[new[0]].continues if path in tracks] if new else []
    if not lost:
        return []
    similarities = np.stack([embedded[index].embedding for index in new]) @ np.stack(
        [tracks[path].embedding for path in lost], axis=1
    )
    pairs = []
    for index, row in zip(new, similarities, strict=True):
        face, step = embedded[index], steps[index]
        for path, similarity in zip(lost, map(float, row), strict=True):
            track = tracks[path]
            least = policy.join_near if path in step.near else policy.join
            if face.reliable and track.reliable and similarity >= least:
                pairs.append((similarity, index, path))
            elif path == step.place and not (_is_evidence(face) or _is_evidence(track.best)):
                pairs.append((-1.0, index, path))  # its place is all that is known of it
    chosen: dict[int, int] = {}
    taken: set[int] = set()
    for _, index, path in sorted(pairs, reverse=True):
        if index not in chosen and path not in taken:
            chosen[index] = path
            taken.add(path)
    return list(chosen.items())


def _is_evidence(face: EmbeddedFace) -> bool:
    """Whether its embedding can tell people apart."""
    return face.reliable and face.quality >= EVIDENCE


def _is_another(track: Track, face: EmbeddedFace, policy: TrackPolicy) -> bool:
    return (
        _is_evidence(face)
        and track.reliable
        and float(face.embedding @ track.embedding) < policy.split
    )


def _with(track: Track, face: EmbeddedFace, policy: TrackPolicy) -> Track:
    faces = sorted((*track.exemplars, face), key=_rank, reverse=True)
    return _track(track.id, tuple(faces[: policy.exemplars]))


def _rank(face: EmbeddedFace) -> tuple[bool, float]:
    return face.reliable, face.quality


def _track(track_id: UUID, exemplars: tuple[EmbeddedFace, ...]) -> Track:
    """A track with the mean of those exemplars that say who it is, if there are any."""
    counted = [one for one in exemplars if one.reliable == exemplars[0].reliable]
    mean = sum(
        (max(one.quality, _LEAST_WEIGHT) * one.embedding for one in counted),
        np.zeros_like(exemplars[0].embedding),
    )
    length = float(np.linalg.norm(mean))
    embedding = mean / length if length > 0 else exemplars[0].embedding
    return Track(track_id, exemplars, np.asarray(embedding, np.float32))
