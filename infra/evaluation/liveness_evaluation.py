"""Liveness of pictures whose truth is known: from folders to errors."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from config.settings import ModelSettings
from domain.images.image_errors import ImageRejected
from infra.evaluation.labelled_photos import LabelledPhoto
from ml.evaluation.liveness_errors import (
    LivenessErrors,
    Presentations,
    Rate,
    errors_at,
    presentations_needed,
    threshold_for,
)
from ml.images.decoding import ImageLimits, decode
from ml.liveness.liveness_check import FaceToCheck, LivenessCheck
from ml.recognition.face_analyser import Analyser

#: The folder of bona fide presentations; the others are kinds of attacks.
LIVE = "live"

#: Goes over many things and says how far it is.
Progress = Callable[[Sequence[LabelledPhoto]], Iterator[LabelledPhoto]]


class NoPresentationsError(Exception):
    """A folder has no bona fide presentation, or no attack; the message says which."""


@dataclass(frozen=True, slots=True)
class LivenessEvaluation:
    """What was measured.

    Attributes:
        model: id of the model.
        presentations: what was judged, by folder.
        wanted_apcer: for the recommendation.
        now: errors at the threshold of the settings.
        recommended: errors at the lowest threshold with the wanted APCER; None with too few
            attacks.
        needed: attacks of each kind that a recommendation needs.
    """

    model: str
    presentations: Mapping[str, Presentations]
    wanted_apcer: float
    now: LivenessErrors
    recommended: LivenessErrors | None
    needed: int


def evaluate_liveness(
    presentations: Mapping[str, Presentations], check: LivenessCheck, wanted_apcer: float
) -> LivenessEvaluation:
    """Measure the errors.

    Args:
        presentations: by folder.
        check: the model, with the threshold in use.
        wanted_apcer: greatest share of attacks that may pass for a person.

    Raises:
        NoPresentationsError: there is no bona fide presentation, or no attack.
    """
    attacks = {name: one for name, one in presentations.items() if name != LIVE}
    bona_fide = presentations.get(LIVE, Presentations(np.empty(0)))
    if not bona_fide.scores.size:
        raise NoPresentationsError(f'the folder "{LIVE}" has no picture that the model can judge')
    if not any(one.scores.size for one in attacks.values()):
        raise NoPresentationsError(
            f'there is no attack: make folders next to "{LIVE}", such as "print" and "replay"'
        )
    threshold = threshold_for(wanted_apcer, attacks)
    return LivenessEvaluation(
        model=check.model,
        presentations=presentations,
        wanted_apcer=wanted_apcer,
        now=errors_at(check.threshold, bona_fide, attacks),
        recommended=None if threshold is None else errors_at(threshold, bona_fide, attacks),
        needed=presentations_needed(wanted_apcer),
    )


def judged_photos(
    photos: Sequence[LabelledPhoto],
    analyser: Analyser,
    check: LivenessCheck,
    settings: ModelSettings,
    progress: Progress = iter,
) -> dict[str, Presentations]:
    """Judge the largest face of each picture.

    Args:
        photos: the person of each is its folder.
        analyser: the detector.
        check: the model.
        settings: limits for images.
        progress: goes over the photos.

    Returns:
        By folder; a picture that cannot be read, has no face, or is of no use to the model counts
        as not answered. Pictures in a folder below are of one subject, or of one clip.
    """
    limits = ImageLimits(
        settings.max_image_bytes, settings.max_image_pixels, settings.max_image_work
    )
    judged: dict[str, list[tuple[LabelledPhoto, float | None]]] = {}
    for photo in progress(photos):
        score = _score(photo, analyser, check, limits)
        judged.setdefault(photo.person, []).append((photo, score))
    return {name: _presentations(found) for name, found in judged.items()}


def _presentations(judged: Sequence[tuple[LabelledPhoto, float | None]]) -> Presentations:
    scores = [(photo, score) for photo, score in judged if score is not None]
    missing = [photo for photo, score in judged if score is None]
    names = any(photo.camera is not None for photo, _ in judged)
    return Presentations(
        np.array([score for _, score in scores], np.float64),
        len(missing),
        [_subject(photo) for photo, _ in scores] if names else (),
        [_subject(photo) for photo in missing] if names else (),
    )


def _subject(photo: LabelledPhoto) -> str:
    """The folder below that of the kind; a picture in none is one of its own."""
    return photo.camera or f"/{photo.path.name}"


def _score(
    photo: LabelledPhoto, analyser: Analyser, check: LivenessCheck, limits: ImageLimits
) -> float | None:
    try:
        image = decode(photo.path.read_bytes(), limits)
    except (OSError, ImageRejected):
        return None
    (found,) = analyser.detector.detect([image])
    if not len(found.boxes):
        return None
    largest = max(found.boxes, key=lambda box: float(box[2] * box[3]))
    (result,) = check.check([FaceToCheck(image, largest)])
    return result.score


def error_rows(errors: LivenessErrors) -> list[dict[str, object]]:
    """The errors as rows of a listing."""
    rows: list[dict[str, object]] = []
    for name in sorted(errors.apcer):
        rows.append(_row("APCER", name, errors.apcer[name]))
        rows.append(_row("APNRR", name, errors.apnrr[name]))
    rows.append(_row("BPCER", LIVE, errors.bpcer))
    rows.append(_row("BPNRR", LIVE, errors.bpnrr))
    return rows


def _row(term: str, kind: str, rate: Rate) -> dict[str, object]:
    return {
        "rate": term,
        "presentations": kind,
        "value": rate.value,
        "low": rate.low,
        "high": rate.high,
        "errors": rate.errors,
        "number": rate.number,
        "subjects": rate.subjects,
    }
