"""Turned faces: how many match other people, and how many are unreliable, by angle.

The largest face of each picture is looked for while the picture is turned in steps; "mirrored" and
"flipped" are pictures mirrored left to right and turned upside down. The models are those of the
settings in the environment (FECAPASS_MODELS__...), so that other models are measured in the same
way. All values but the lengths of raw embeddings are percentages.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.load.frames import Picture
from benchmarks.report import Report, Result, make_report
from config.settings import DetectSettings
from ml.recognition.alignment import align
from ml.recognition.face_analyser import AnalysedFace, Analyser, build_analyser
from ml.runtime.model_registry import match_policy

_SUFFIXES = {".jpg", ".jpeg", ".png"}


class Seen(NamedTuple):
    """The face of one picture, and whose it is."""

    person: str
    face: AnalysedFace
    length: float


def views(step: int) -> list[str]:
    """What is done to the pictures: angles in degrees, and the two reflections."""
    return [*(str(angle) for angle in range(0, 360, step)), "mirrored", "flipped"]


def turned(picture: Picture, view: str) -> Picture:
    """A picture as a view shows it; the canvas grows so that nothing is cut off.

    Args:
        picture: uint8 (H, W, 3).
        view: one of `views`; angles count against the clock.
    """
    if view in ("mirrored", "flipped"):
        return np.ascontiguousarray(picture[:, ::-1] if view == "mirrored" else picture[::-1])
    quarters, rest = divmod(int(view), 90)
    if not rest:
        return np.ascontiguousarray(np.rot90(picture, quarters))
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), int(view), 1)
    cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (round(height * sine + width * cosine), round(height * cosine + width * sine))
    matrix[:, 2] += ((size[0] - width) / 2, (size[1] - height) / 2)
    return np.asarray(cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR), np.uint8)


def look(analyser: Analyser, pictures: Mapping[Path, Picture], view: str) -> list[Seen]:
    """Find the largest face of each picture."""
    seen = []
    for path, picture in pictures.items():
        shown = turned(picture, view)
        (faces,) = analyser.analyse([shown])
        if faces:
            face = max(faces, key=lambda one: one.box[2] * one.box[3])
            raw = analyser.embedder.raw([align(shown, face.landmarks)])
            seen.append(Seen(person_of(path), face, float(np.linalg.norm(raw))))
    return seen


def values_of(
    seen: Sequence[Seen], upright: Sequence[Seen], pictures: int, threshold: float, trusted: float
) -> dict[str, float]:
    """The results of a view.

    Args:
        seen: the faces of the view.
        upright: those of the pictures as they are.
        pictures: how many were looked at.
        threshold: the least cosine of a match.
        trusted: length from which on an embedding needs no second look.
    """
    reliable = np.array([one.face.quality.reliable for one in seen], bool)
    matches, strangers = _pairs(seen, seen, threshold)
    against, others = _pairs(seen, upright, threshold)
    both = reliable[:, None] & reliable[None]
    return {
        "found": _percent(len(seen), pictures),
        "reliable": _percent(reliable.sum(), pictures),
        "false_match_before": _percent(matches.sum(), strangers.sum()),
        "false_match": _percent((matches & both).sum(), strangers.sum()),
        "upright_before": _percent(against.sum(), others.sum()),
        "upright": _percent((against & reliable[:, None]).sum(), others.sum()),
        "length_p5": float(np.quantile([one.length for one in seen], 0.05)) if seen else 0.0,
        "length_max": max((one.length for one in seen), default=0.0),
        "trusted": _percent(sum(one.length >= trusted for one in seen), len(seen)),
    }


def _pairs(
    seen: Sequence[Seen], other: Sequence[Seen], threshold: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which pairs are of different people, and which of these match."""
    if not seen or not other:
        empty = np.zeros((len(seen), len(other)), bool)
        return empty, empty
    one, two = (np.stack([each.face.embedding for each in faces]) for faces in (seen, other))
    people, others = (np.array([each.person for each in faces]) for faces in (seen, other))
    strangers = people[:, None] != others[None]
    return (one @ two.T >= threshold) & strangers, strangers


def _percent(part: float, whole: float) -> float:
    return 100 * float(part) / max(float(whole), 1)


def person_of(path: Path) -> str:
    """Whose picture it is: pictures of a person share a folder and the name before ``_``."""
    return f"{path.parent.name}/{path.stem.partition('_')[0]}"


def pictures_by_path(folder: Path) -> dict[Path, Picture]:
    """The pictures of a folder and of those below it."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    read = ((path, cv2.imread(str(path), cv2.IMREAD_COLOR)) for path in paths)
    return {path: np.asarray(image, np.uint8) for path, image in read if image is not None}


async def run(arguments: argparse.Namespace) -> Report:
    """Measure every view."""
    settings = DetectSettings().models
    analyser = build_analyser(settings)
    policy = match_policy(analyser.embedder.id, settings)
    pictures = pictures_by_path(arguments.pictures)
    upright = look(analyser, pictures, "0")
    subject = f"{analyser.detector.id} and {analyser.embedder.id}"
    results = []
    for view in views(arguments.step):
        seen = upright if view == "0" else look(analyser, pictures, view)
        values = values_of(
            seen, upright, len(pictures), policy.threshold, analyser.embedder.trusted_length
        )
        results.append(Result("angles", subject, {"view": view}, values))
    return make_report(results, [], {"pictures": len(pictures), "threshold": policy.threshold})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--pictures",
        type=Path,
        required=True,
        help="a folder of pictures, below it too; those of one person share a folder and the part "
        "of the name before the first _",
    )
    parser.add_argument(
        "--step", type=int, default=15, help="degrees between the angles (default: %(default)s)"
    )
