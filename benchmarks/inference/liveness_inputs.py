"""From where on a liveness model judges badly: faces near the border, small faces, dark faces.

The largest face of each picture is shown to the model as it is, and then as a worse camera would
have it: with a part of the model's square outside of the picture, scaled down so that the model's
input enlarges it, and darkened. The limits of `domain.decisions.liveness.InputPolicy` are off, so
that the model is always asked. Pictures of people are those of ``--live``, pictures of prints and
screens those of ``--attacks``; a face whose square is not whole in the picture is left out. The
values are the median and the fifth percentile of the scores of people and the share of them below
the threshold (BPCER), and the greatest score of an attack.
Run alone: ``python -m benchmarks liveness_inputs --help``.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.inference.angles import pictures_by_path
from benchmarks.report import Report, Result, make_report
from config.settings import ModelSettings
from domain.arrays import FloatArray, Image
from domain.decisions.liveness import InputPolicy
from ml.detection.detections import Detector
from ml.liveness.face_squares import face_square
from ml.liveness.liveness_check import FaceToCheck, LivenessCheck
from ml.liveness.minifasnet import load_minifasnet
from ml.recognition.face_analyser import build_analyser

#: Shares of the square outside of the picture, sizes of the model's input as a multiple of the
#: square, and mean brightness of the face, 0 to 255.
OUTSIDE = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
ENLARGEMENTS = (0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
BRIGHTNESS = (80.0, 60.0, 50.0, 40.0, 30.0, 20.0)

#: Standard deviation of what a sensor adds in the dark, in grey levels.
NOISE = 3.0
_SEED = 1

_PERCENT = 100.0

#: Everything is shown to the model.
NO_LIMITS = InputPolicy(max_outside=1.0, max_enlargement=np.inf, min_brightness=0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A face in a picture, with the model's square around it."""

    image: Image
    box: FloatArray
    side: float


def conditions() -> Iterator[tuple[str, float]]:
    """What is done to a picture, and how much."""
    yield "as it is", 0.0
    for name, levels in (
        ("outside", OUTSIDE),
        ("enlargement", ENLARGEMENTS),
        ("brightness", BRIGHTNESS),
    ):
        yield from ((name, level) for level in levels)


def worsened(
    shown: Shown, name: str, level: float, size: int, noise: float = NOISE
) -> FaceToCheck | None:
    """A face as a worse camera has it; None where it is worse already.

    Args:
        shown: the face.
        name: as `conditions` has it.
        level: the same.
        size: side of the model's input in pixels.
        noise: of the darkened picture, in grey levels.
    """
    image, box = shown.image, shown.box
    if name == "outside":
        left = box[0] + (box[2] - shown.side) / 2
        cut = round(float(left) + level * shown.side)
        return FaceToCheck(image[:, max(cut, 0) :], box - np.array([max(cut, 0), 0, 0, 0], "f4"))
    if name == "enlargement":
        ratio = size / (level * shown.side)
        if ratio > 1:
            return None
        smaller = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        return FaceToCheck(np.asarray(smaller, np.uint8), np.asarray(box * ratio, np.float32))
    if name == "brightness":
        _, measures = face_square(image, box, 1.0, size)
        if measures.brightness < level:
            return None
        grain = np.random.default_rng(_SEED).normal(0, noise, image.shape)
        darker = image * (level / measures.brightness) + grain
        return FaceToCheck(np.clip(darker, 0, 255).astype(np.uint8), box)
    return FaceToCheck(image, box)


def scores_of(
    faces: Sequence[Shown], check: LivenessCheck, size: int, noise: float
) -> Mapping[str, list[float]]:
    """The scores of the faces under each condition, by ``name level``."""
    scores: dict[str, list[float]] = {}
    for name, level in conditions():
        made = [worsened(one, name, level, size, noise) for one in faces]
        results = check.check([one for one in made if one is not None])
        scores[f"{name} {level:g}"] = [one.score for one in results if one.score is not None]
    return scores


def results_of(
    live: Mapping[str, list[float]], attacks: Mapping[str, list[float]], threshold: float
) -> list[Result]:
    """The values of each condition."""
    results = []
    for condition, scores in live.items():
        people, others = np.array(scores), attacks.get(condition, [])
        if not len(people):
            continue
        values = {
            "median": float(np.median(people)),
            "p5": float(np.percentile(people, 5)),
            "bpcer_percent": _PERCENT * float((people < threshold).mean()),
        }
        if others:
            values["highest_attack"] = max(others)
        case = {"people": len(people), "attacks": len(others)}
        results.append(Result("liveness inputs", condition, case, values))
    return results


def faces_in(folder: Path, detector: Detector, crop: float) -> list[Shown]:
    """The largest face of each picture, where the model's square is whole in it."""
    faces = []
    for image in pictures_by_path(folder).values():
        (found,) = detector.detect([image])
        if not len(found.boxes):
            continue
        box = max(found.boxes, key=lambda one: float(one[2] * one[3]))
        _, measures = face_square(image, box, crop, 1)
        if measures.outside <= 0:
            faces.append(Shown(image, box, max(1.0, round(float(max(box[2:])) * crop))))
    return faces


async def run(arguments: argparse.Namespace) -> Report:
    """Measure every condition."""
    model = load_minifasnet(arguments.model)
    check = LivenessCheck(model, policy=NO_LIMITS)
    detector = build_analyser(ModelSettings()).detector
    scores = [
        scores_of(
            faces_in(folder, detector, model.manifest.crop),
            check,
            model.manifest.size,
            arguments.noise,
        )
        for folder in (arguments.live, arguments.attacks)
    ]
    return make_report(results_of(scores[0], scores[1], check.threshold), (), {})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--model", type=Path, required=True, help="MiniFASNet file; its manifest is next to it"
    )
    parser.add_argument("--live", type=Path, required=True, help="folder of pictures of people")
    parser.add_argument(
        "--noise", type=float, default=NOISE, help="of darkened pictures, in grey levels"
    )
    parser.add_argument(
        "--attacks", type=Path, required=True, help="folder of pictures of prints and screens"
    )
