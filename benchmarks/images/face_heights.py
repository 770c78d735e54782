"""Which faces the detector finds, by their height in the frame, and what that costs.

Group photos, made smaller, fill frames of 1920x1080. A face counts if it is labelled (a table of
noses or boxes) and found in the photo itself; its height is that of the box found there. Recall is
the share of these that are found in the frame, precision the share of what is found there that was
found in the photos. The profiles are settings of a detect worker; times are CPU milliseconds of a
frame, of all threads. Run alone: ``python -m benchmarks heights --help``.
"""

import argparse
import csv
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.report import Report, Result, make_report
from config.settings import ModelSettings
from domain.arrays import FloatArray, Image
from ml.detection.detections import Detector
from ml.evaluation.people_bootstrap import wilson
from ml.recognition.face_analyser import build_analyser

_WIDTH, _HEIGHT = 1920, 1080
_FACTORS = (1.0, 0.75, 0.5, 0.375, 0.25, 0.1875)
_EDGES = (12, 16, 24, 32, 48, 64, 128)
_SAME = 0.5
Bools = npt.NDArray[np.bool_]
_PERCENT = 100.0
_MILLISECONDS = 1e3

#: By name, what differs from the defaults.
PROFILES: Mapping[str, Mapping[str, object]] = {
    "near (default)": {},
    "near, from 10 pixels": {"min_face_pixels": 10},
    "far": {"detection_profile": "far"},
    "far, full size": {"detection_profile": "far", "detection_long_side": 1920},
}


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A photo of several people.

    Attributes:
        picture: uint8 (H, W, 3), BGR.
        found: float32 (N, 4), the boxes found in it.
        labelled: (N,) bool, which of them hold a labelled face.
    """

    picture: Image
    found: FloatArray
    labelled: Bools


def _labels(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """By name of a picture, a point in each labelled face."""
    points: dict[str, list[tuple[float, float]]] = {}
    for table in sorted(folder.glob("*.csv")):
        with table.open(newline="") as file:
            for row in csv.DictReader(file):
                if "nose_x" in row:
                    point = (float(row["nose_x"]), float(row["nose_y"]))
                else:
                    point = (
                        float(row["x"]) + float(row["w"]) / 2,
                        float(row["y"]) + float(row["h"]) / 2,
                    )
                points.setdefault(Path(row["file"]).name, []).append(point)
    return points


def load_groups(folder: Path) -> list[Group]:
    """The labelled pictures of a folder, and the faces in them.

    Args:
        folder: pictures in any folder below it, and tables with the columns ``file, nose_x,
            nose_y`` or ``file, x, y, w, h``.
    """
    points = _labels(folder)
    settings = ModelSettings(min_face_pixels=1, detection_long_side=1920)
    detector = build_analyser(settings).detector
    groups = []
    for path in sorted(folder.rglob("*.jpg")):
        picture = cv2.imread(str(path))
        if picture is None or path.name not in points:
            continue
        image = np.asarray(picture, np.uint8)
        (found,) = detector.detect([image])
        labelled = np.array(
            [any(_inside(point, box) for point in points[path.name]) for box in found.boxes], bool
        )
        groups.append(Group(image, found.boxes, labelled))
    return groups


def _inside(point: tuple[float, float], box: FloatArray) -> bool:
    x, y, width, height = (float(value) for value in box)
    return x <= point[0] <= x + width and y <= point[1] <= y + height


def frames(groups: Sequence[Group], factor: float) -> Iterator[tuple[Image, FloatArray, Bools]]:
    """Frames full of the pictures at a share of their size.

    Yields:
        The frame, the boxes in it (N, 4), and which of them are labelled (N,).
    """
    frame = np.full((_HEIGHT, _WIDTH, 3), 128, np.uint8)
    boxes: list[FloatArray] = []
    labelled: list[Bools] = []
    left = top = row = 0
    for group in groups:
        small = cv2.resize(group.picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        height, width = small.shape[:2]
        if left + width > _WIDTH:
            left, top, row = 0, top + row, 0
        if top + height > _HEIGHT:
            yield frame, np.concatenate(boxes), np.concatenate(labelled)
            frame = np.full((_HEIGHT, _WIDTH, 3), 128, np.uint8)
            boxes, labelled, left, top, row = [], [], 0, 0, 0
        frame[top : top + height, left : left + width] = small
        boxes.append(group.found * np.float32(factor) + np.array([left, top, 0, 0], np.float32))
        labelled.append(group.labelled)
        left, row = left + width, max(row, height)
    if boxes:
        yield frame, np.concatenate(boxes), np.concatenate(labelled)


def _overlaps(one: FloatArray, other: FloatArray) -> FloatArray:
    """Intersection over union of each box with each other, (N, M)."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum((one[:, :2] + one[:, 2:])[:, None], (other[:, :2] + other[:, 2:])[None])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = np.prod(one[:, 2:], axis=1)[:, None] + np.prod(other[:, 2:], axis=1)[None]
    return np.asarray(common / np.maximum(areas - common, 1e-9), np.float32)


def measure(detector: Detector, groups: Sequence[Group], profile: str) -> list[Result]:
    """Recall, precision and time of a detector."""
    heights: list[float] = []
    hits: list[bool] = []
    right = found_in_all = counted = 0
    spent = 0.0
    for factor in _FACTORS:
        for frame, boxes, labelled in frames(groups, factor):
            started = time.process_time()
            (found,) = detector.detect([frame])
            spent += time.process_time() - started
            counted += 1
            overlaps = _overlaps(boxes, found.boxes)
            heights += boxes[labelled, 3].tolist()
            hits += (overlaps[labelled].max(axis=1, initial=0) >= _SAME).tolist()
            right += int((overlaps.max(axis=0, initial=0) >= _SAME).sum())
            found_in_all += len(found)
    results = []
    for low, high in pairwise(_EDGES):
        inside = [hit for hit, tall in zip(hits, heights, strict=True) if low <= tall < high]
        if inside:
            share = sum(inside) / len(inside)
            ends = wilson(share, len(inside))
            results.append(
                Result(
                    "heights",
                    profile,
                    {"height": f"{low}-{high}"},
                    {
                        "recall_percent": _PERCENT * share,
                        "low": _PERCENT * ends[0],
                        "high": _PERCENT * ends[1],
                        "faces": float(len(inside)),
                    },
                )
            )
    values = {
        "precision_percent": _PERCENT * right / max(found_in_all, 1),
        "cpu_ms": _MILLISECONDS * spent / max(counted, 1),
    }
    return [*results, Result("heights", profile, {"height": "all"}, values)]


async def run(arguments: argparse.Namespace) -> Report:
    """Measure all profiles."""
    groups = load_groups(arguments.groups)
    results = []
    for name, changes in PROFILES.items():
        detector = build_analyser(ModelSettings.model_validate(changes)).detector
        results += measure(detector, groups, name)
    return make_report(results, [], {})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--groups",
        type=Path,
        required=True,
        metavar="DIR",
        help="pictures, and tables of the faces in them (file, nose_x, nose_y or file, x, y, w, h)",
    )
