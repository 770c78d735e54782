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
from domain.events import NAMESPACE
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
    """

    face_id: UUID
    embedding: FloatArray
    quality: float
    reliable: bool


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """A person who is followed at one camera.

    Attributes:
        id: UUIDv5 of the first face.
        exemplars: its best faces, the best first; never empty.
        embedding: float32 (D,) of length 1: the weighted mean of the exemplars.
    """

    id: UUID
    exemplars: tuple[EmbeddedFace, ...]
    embedding: FloatArray

    @property
    def best_face_id(self) -> UUID:
        """The face whose crop stands for the track."""
        return self.exemplars[0].face_id

    @property
    def reliable(self) -> bool:
        """Whether the embedding says who it is."""
        return self.exemplars[0].reliable


#: The tracks of one camera by the number of the path that follows each.
Tracks = Mapping[int, Track]


def settle(
    tracks: Tracks, steps: Sequence[Step], embedded: Mapping[int, EmbeddedFace], policy: TrackPolicy
) -> tuple[dict[int, Track], list[Track]]:
    """Decide which tracks the faces of one frame belong to.

    Args:
        tracks: after the previous frame.
        steps: of each face of the frame, from `ml.tracking.paths.follow`.
        embedded: by index, the faces whose steps were due.
        policy: the rules.

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
                track = _track(uuid5(NAMESPACE, f"track|{face.face_id}"), (face,))
            else:
                track = _with(track, face, policy)
            now[step.path] = track
        result.append(now[step.path])
    return now, result


def _continuations(
    tracks: Tracks, steps: Sequence[Step], embedded: Mapping[int, EmbeddedFace], policy: TrackPolicy
) -> list[tuple[int, int]]:
    """New faces with the lost path that each continues: the most similar pairs first."""
    pairs = []
    for index, step in enumerate(steps):
        for path in step.continues:
            if path in tracks:
                similarity = _continues(tracks[path], embedded[index], step, path, policy)
                if similarity is not None:
                    pairs.append((similarity, index, path))
    chosen: dict[int, int] = {}
    for _, index, path in sorted(pairs, reverse=True):
        if index not in chosen and path not in chosen.values():
            chosen[index] = path
    return list(chosen.items())


def _continues(
    track: Track, face: EmbeddedFace, step: Step, path: int, policy: TrackPolicy
) -> float | None:
    """How well a new path's face continues a lost track; None if it does not."""
    is_evidence = face.reliable and track.reliable and face.quality >= EVIDENCE
    if path == step.place and not is_evidence:
        return 1.0  # its place is all that is known of it
    if not (face.reliable and track.reliable):
        return None
    similarity = float(face.embedding @ track.embedding)
    least = policy.join_near if path in step.near else policy.join
    return similarity if similarity >= least else None


def _is_another(track: Track, face: EmbeddedFace, policy: TrackPolicy) -> bool:
    return (
        face.reliable
        and track.reliable
        and face.quality >= EVIDENCE
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
