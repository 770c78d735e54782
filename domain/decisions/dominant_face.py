"""Which face of a photo is meant? A pure decision.

A portrait often shows a part of another person: at the edge, far behind, or blurred. Such a face
does not make the photo useless, and is never taken for the one that is meant.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.events import DetectedFace

#: A face with at most this share of the area of the largest one is a bystander's. Of the project's
#: labelled portraits and group pictures (``python -m benchmarks enrolment``) every second face at
#: the middle of a portrait is smaller, and no group picture has a face that is twice as large as
#: all others.
SMALLER = 0.5

#: A face is at the edge if it ends this close to it, as a share of the picture's side: what is cut
#: off there is a person who passes by.
_EDGE = 0.02


@dataclass(frozen=True, slots=True)
class DominantFace:
    """The face that a photo is of.

    Attributes:
        index: its place among the faces of the photo.
        others: what makes each other face one that does not count: ``doubtful``, ``small``,
            ``edge`` or ``poor``.
    """

    index: int
    others: tuple[str, ...]


def dominant_face(
    faces: Sequence[DetectedFace],
    size: tuple[int, int] | None,
    *,
    min_score: float,
    min_quality: float,
) -> DominantFace | None:
    """The face that is meant; None if there is none, or if two could be.

    It is the largest one that the detector is sure of. Where all are doubtful, a single one is
    returned, so that its refusal says what is wrong with it.

    Args:
        faces: all that were found.
        size: width and height of the picture in pixels; None: unknown, so no face is at the edge.
        min_score: the detector is sure of a face with this confidence.
        min_quality: a face of less quality does not count next to a better one.
    """
    if len(faces) == 1:
        return DominantFace(0, ())
    sure = [place for place, face in enumerate(faces) if face.score >= min_score and face.reliable]
    if not sure:
        return None
    index = max(sure, key=lambda place: _area(faces[place]))
    largest = faces[index]
    others = []
    for place, face in enumerate(faces):
        if place == index:
            continue
        why = _why_it_does_not_count(face, largest, size, min_score, min_quality)
        if why is None:
            return None
        others.append(why)
    return DominantFace(index, tuple(others))


def _why_it_does_not_count(
    face: DetectedFace,
    largest: DetectedFace,
    size: tuple[int, int] | None,
    min_score: float,
    min_quality: float,
) -> str | None:
    if face.score < min_score or not face.reliable:
        return "doubtful"
    if _area(face) <= SMALLER * _area(largest):
        return "small"
    if size is not None and _at_edge(face, size) and not _at_edge(largest, size):
        return "edge"
    if face.quality < min_quality <= largest.quality:
        return "poor"
    return None


def _area(face: DetectedFace) -> float:
    return face.box[2] * face.box[3]


def _at_edge(face: DetectedFace, size: tuple[int, int]) -> bool:
    x, y, width, height = face.box
    return (
        min(x, size[0] - x - width) <= _EDGE * size[0]
        or min(y, size[1] - y - height) <= _EDGE * size[1]
    )
