"""Follow faces by where they are and how they look, without embeddings.

A path is a face that is followed by its box alone. Where boxes do not decide (people cross, a face
comes back after a gap, the picture was cut) a new path begins, and its face is embedded:
`ml.tracking.tracks` then decides by the embedding which track it belongs to. So a mistake of this
module costs an embedding, and not an identity.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from domain.arrays import FloatArray
from ml.tracking.boxes import overlaps
from ml.tracking.seen_faces import EVIDENCE, SeenFace

#: Why a face is embedded: its path is new, its picture is clearly better than all before, or the
#: last embedding is too old.
Due = Literal["new", "better", "refresh"]

#: Paths of a camera that only an embedding can continue; beyond, the oldest is forgotten.
MOST_LOST = 100

# The share that a new measurement has in a path's velocity.
_VELOCITY_GAIN = 0.5


@dataclass(frozen=True, slots=True)
class FollowPolicy:
    """When two faces are the same by their boxes, and when a face is embedded. Times in seconds.

    Attributes:
        refresh: longest time between two embeddings of a path; a new path's first ones come sooner.
        first_refresh: time between the first and the second embedding; it doubles each time.
        better: by how much the quality must exceed the best so far.
        gap: longest time without the face after which its box still decides.
        lost_after: longest time without the face after which its embedding still decides.
        overlap: least intersection over union of a face and the predicted box of its path.
        rival: intersection over union above which another face, or path, makes it ambiguous.
        instant: longest time in which no other person can take the place of one who is seen.
        likeness: least correlation of the looks of two faces of a path in consecutive frames.
    """

    refresh: float = 2.0
    first_refresh: float = 0.25
    better: float = 0.15
    gap: float = 0.6
    lost_after: float = 3.0
    overlap: float = 0.5
    rival: float = 0.15
    instant: float = 0.25
    likeness: float = 0.85


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """A face that is followed.

    Attributes:
        number: names it among the paths of its camera; never used again.
        face: as it was last seen.
        seen_at: when, in seconds.
        velocity: float64 (2,): of the box's centre, in pixels a second.
        embedded_at: when its face was last due, in seconds.
        embeddings: how often its face was due.
        best_quality: the highest quality of a face that was due.
    """

    number: int
    face: SeenFace
    seen_at: float
    velocity: NDArray[np.float64]
    embedded_at: float
    embeddings: int
    best_quality: float


@dataclass(frozen=True, slots=True)
class Paths:
    """The paths of one camera.

    Attributes:
        seen: paths whose face was in the last frame.
        missed: paths whose face was not in the last frame; a face at the predicted place may be it.
        lost: paths that only an embedding can find again.
        next_number: number of the next path.
    """

    seen: tuple[Path, ...] = ()
    missed: tuple[Path, ...] = ()
    lost: tuple[Path, ...] = ()
    next_number: int = 0

    @property
    def all(self) -> tuple[Path, ...]:
        """Those that an embedding can continue, and those that a box can."""
        return (*self.seen, *self.missed, *self.lost)


@dataclass(frozen=True, slots=True)
class Step:
    """What following says about one face of a frame.

    Attributes:
        path: the number of its path.
        due: why the face is embedded; None: it has the embedding of its track.
        continues: where ``due`` is "new", the paths that this may be, because their face is not in
            this frame; the embedding decides.
        near: those of them whose boxes touch it.
        place: the one of them whose place it has taken so soon that no other person can have.
    """

    path: int
    due: Due | None
    continues: tuple[int, ...] = ()
    near: tuple[int, ...] = ()
    place: int | None = None


def follow(
    paths: Paths,
    at: float,
    faces: Sequence[SeenFace],
    policy: FollowPolicy,
    *,
    exact: bool = True,
) -> tuple[Paths, list[Step]]:
    """Continue the paths of a camera with the faces of its next frame.

    Args:
        paths: as the previous call returned them; `Paths()` at first.
        at: the frame's time in seconds, not before that of the previous call.
        faces: the faces of the frame.
        policy: the rules.
        exact: whether the landmarks are as good as they can be; if not, only new faces are due.

    Returns:
        The paths now, and a step for each face, in order. No two faces have the same path.
    """
    present = (*paths.seen, *paths.missed)
    near = [one for one in present if at - one.seen_at <= policy.gap]
    common = overlaps([_predicted(one, at) for one in near], [one.box for one in faces])
    places = _places(common, policy)
    links = {
        index: place
        for index, place in places.items()
        if _is_next(near[place], faces[index], at, policy)
    }
    unlinked = [one for place, one in enumerate(near) if place not in links.values()]
    left = (*unlinked, *(one for one in present if one not in near), *paths.lost)
    lost = tuple(one for one in left if at - one.seen_at <= policy.lost_after)[:MOST_LOST]
    steps: list[Step] = []
    seen: list[Path] = []
    number = paths.next_number
    for index, face in enumerate(faces):
        if index in links:
            path, due = _continued(near[links[index]], face, at, policy, exact=exact)
            steps.append(Step(path.number, due))
        else:
            path = Path(number, face, at, np.zeros(2), at, 1, face.quality)
            number += 1
            touching = [one for one, share in zip(near, common[:, index], strict=True) if share > 0]
            before = near[places[index]] if index in places else None
            is_instant = before is not None and at - before.seen_at <= policy.instant
            steps.append(
                Step(
                    path.number,
                    "new",
                    tuple(one.number for one in lost),
                    tuple(one.number for one in lost if one in touching),
                    before.number if before is not None and is_instant else None,
                )
            )
        seen.append(path)
    # A new face may be any of those that were missed, so that only an embedding finds them again.
    missed = tuple(unlinked) if len(links) == len(faces) else ()
    lost = tuple(one for one in lost if one not in missed)
    return Paths(tuple(seen), missed, lost, number), steps


def expected(paths: Paths, at: float, policy: FollowPolicy) -> list[FloatArray]:
    """Where the faces of the last frame should be: float32 (4,) each, in pixels of the frame."""
    return [_predicted(one, at) for one in paths.seen if at - one.seen_at <= policy.gap]


def hold(paths: Paths, at: float) -> Paths:
    """Continue the paths through a frame that shows what the last one showed.

    Args:
        paths: of the camera.
        at: the frame's time in seconds.

    Returns:
        The paths, whose faces in ``seen`` are those of the frame.
    """
    still = np.zeros(2)
    return replace(
        paths, seen=tuple(replace(one, seen_at=at, velocity=still) for one in paths.seen)
    )


def lose(paths: Paths) -> Paths:
    """Let no box decide about the next frame: the picture has changed as a whole."""
    return replace(paths, seen=(), missed=(), lost=paths.all[:MOST_LOST])


def _places(common: NDArray[np.float64], policy: FollowPolicy) -> dict[int, int]:
    """For each face at the place of one path, and of no other: the index of that path.

    Args:
        common: intersection over union of predicted boxes (rows) and faces (columns).
        policy: the rules.
    """
    if not common.size:
        return {}
    rivals = common > policy.rival
    sure = (common >= policy.overlap) & (rivals.sum(axis=0, keepdims=True) == 1)
    sure &= rivals.sum(axis=1, keepdims=True) == 1
    return {int(index): int(place) for place, index in np.argwhere(sure)}


def _is_next(path: Path, face: SeenFace, at: float, policy: FollowPolicy) -> bool:
    """Whether a face at the place of a path is its next one, without a look at its embedding."""
    if path.face.look @ face.look >= policy.likeness:
        return True
    # The embeddings of neither would tell more than the place does.
    is_weak = max(face.quality, path.best_quality) < EVIDENCE
    return is_weak and at - path.seen_at <= policy.instant


def _continued(
    path: Path, face: SeenFace, at: float, policy: FollowPolicy, *, exact: bool
) -> tuple[Path, Due | None]:
    """The path with its next face, and why that is due."""
    due: Due | None = None
    wait = min(policy.refresh, policy.first_refresh * 2 ** min(path.embeddings - 1, 16))
    if not exact:
        pass
    elif face.quality >= path.best_quality + policy.better:
        due = "better"
    elif at - path.embedded_at >= wait:
        due = "refresh"
    moved = replace(path, face=face, seen_at=at, velocity=_velocity(path, face, at))
    if due is None:
        return moved, None
    return (
        replace(
            moved,
            embedded_at=at,
            embeddings=path.embeddings + 1,
            best_quality=max(path.best_quality, face.quality),
        ),
        due,
    )


def _centre(box: FloatArray) -> NDArray[np.float64]:
    return np.asarray(box[:2] + box[2:] / 2, np.float64)


def _velocity(path: Path, face: SeenFace, at: float) -> NDArray[np.float64]:
    seconds = at - path.seen_at
    if seconds <= 0:
        return path.velocity
    measured = (_centre(face.box) - _centre(path.face.box)) / seconds
    return path.velocity + _VELOCITY_GAIN * (measured - path.velocity)


def _predicted(path: Path, at: float) -> FloatArray:
    """Where its face should be, at constant velocity."""
    box = path.face.box.copy()
    box[:2] += path.velocity * (at - path.seen_at)
    return box
