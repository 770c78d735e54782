"""Decoding at a fraction of the size: its CPU time, and whether the same faces are found.

The time is that of one JPEG, decoded and put onto the detector's canvas, at its full size and as
small as the detector needs it; and that of its brightness alone, as small as frames are compared.

With a folder of portraits, mosaics of them are searched both ways, and once more in full, moved by
one pixel, which says how much the same face differs from frame to frame anyway. ``height`` is that
of the faces on the detector's canvas. ``shift`` is the mean distance of the landmarks from those in
the portrait, in distances of the eyes, and ``cosine`` that of the face's embedding to the
portrait's, aligned on the full picture; ``right`` and ``wrong`` count the faces that are identified
as the right and as another person at the default threshold and margin. ``same`` values compare with
the full size instead.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2

from benchmarks.arguments import count, duration
from benchmarks.images.decoded_faces import (
    FULL,
    LIMITS,
    REDUCED,
    decision,
    load_portraits,
    measure_faces,
)
from benchmarks.load.frames import Case, Picture, compose, load_faces
from benchmarks.report import Report, Result, compare, make_report
from config.settings import DetectSettings
from ml.detection.letterbox import canvas_size, letterbox
from ml.images.decoding import decode_inspected, inspect
from ml.images.reduced_decoding import decode_grey, decode_reduced
from ml.recognition.face_analyser import build_analyser
from ml.runtime.model_registry import match_policy
from ml.tracking.motion import LONG_SIDE, thumbnail

GREY = "brightness"
MILLISECONDS = "cpu_ms_per_frame"

_SIZES = ((640, 480), (1280, 720), (1920, 1080), (3840, 2160))


def ways_of(data: bytes, long_side: int) -> dict[str, Callable[[], object]]:
    """What is measured of a JPEG, by name."""
    header = inspect(data, LIMITS)

    def onto_canvas(image: Picture) -> object:
        return letterbox(image, canvas_size(image, long_side))

    return {
        FULL: lambda: onto_canvas(decode_inspected(data, header)),
        REDUCED: lambda: onto_canvas(decode_reduced(data, header, long_side)),
        GREY: lambda: thumbnail(decode_grey(data, header, LONG_SIDE)),
    }


def measure_times(long_side: int, seconds: float) -> list[Result]:
    """CPU milliseconds a frame, medians over turns of all ways."""
    results = []
    faces = load_faces()
    for width, height in _SIZES:
        ways = ways_of(compose(Case(width, height, 1), faces, 1).jpegs[0], long_side)
        taken: Mapping[str, list[float]] = {name: [] for name in ways}
        began = time.perf_counter()
        while time.perf_counter() - began < seconds or len(taken[FULL]) < 3:
            for name, way in ways.items():
                before = time.process_time()
                way()
                taken[name].append(1000 * (time.process_time() - before))
        results += [
            Result(
                "decoding",
                name,
                {"size": f"{width}x{height}"},
                {MILLISECONDS: statistics.median(times)},
            )
            for name, times in taken.items()
        ]
    return results


async def run(arguments: argparse.Namespace) -> Report:
    """Measure times, and faces if there are portraits."""
    cv2.setNumThreads(1)
    settings = DetectSettings().models
    results = measure_times(settings.detection_long_side, arguments.seconds)
    ratios = compare(results, REDUCED, FULL, MILLISECONDS)
    ratios += compare(results, GREY, FULL, MILLISECONDS)
    if arguments.pictures is not None:
        analyser = build_analyser(settings)
        portraits = load_portraits(arguments.pictures, analyser)
        policy = match_policy(analyser.embedder.id, settings)
        decide = decision(portraits, policy.threshold, policy.margin)
        results += measure_faces(analyser, portraits, _SIZES[1:], arguments.frames, decide)
    return make_report(results, ratios, {"seconds": arguments.seconds, "frames": arguments.frames})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--seconds", type=duration, default=5.0, help="of each size (default: %(default)s)"
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        help="a folder of portraits, below it too, to look for faces; those of one person share a "
        "folder and the part of the name before the first _",
    )
    parser.add_argument(
        "--frames", type=count, default=12, help="mosaics of each size (default: %(default)s)"
    )
