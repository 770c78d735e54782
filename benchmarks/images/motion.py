"""Detection only where something moved: how many frames need no detector, and what is missed.

``still``: a scene in which nothing moves, empty and with a person who stands still, under
conditions that are no motion; the share of its frames that need no detection. ``visits``: a person
comes into an empty room, stays and leaves, at frame rates and longest intervals between two
detections (seconds). A frame is searched if it shows something that the last searched frame does
not, or if the interval is over; otherwise it has the faces of that frame. ``delay`` is that of the
first detection of a visit against a search of every frame, ``missed`` the share of all faces that
have no box on them (intersection over union at least 0.3), ``gone`` that of boxes with no face.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.arguments import count, duration
from benchmarks.images.decoded_faces import LIMITS, overlap
from benchmarks.images.still_scenes import CONDITIONS, still_frames
from benchmarks.images.visits import RATE, empty_room, visit
from benchmarks.load.frames import Picture
from benchmarks.report import Report, Result, make_report
from benchmarks.video.clips import load_clips
from config.settings import DetectSettings
from domain.arrays import FloatArray, GreyImage
from ml.images.decoding import decode_inspected, inspect
from ml.recognition.face_analyser import Analyser, build_analyser
from ml.tracking.motion import difference, needs_detection, thumbnail

RATES = (25, 10, 5, 1)
INTERVALS = (0.5, 2.0, 1e9)
SPEEDS = (40.0, 120.0)

_STILL_FRAMES = 40
_SAME = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """A frame of a visit: its thumbnail, and the boxes that a search of it finds."""

    grey: GreyImage
    boxes: Sequence[FloatArray]


@dataclass(frozen=True, slots=True)
class _Counts:
    searched: int
    frames: int
    missed: int
    faces: int
    gone: int
    carried: int
    delays: Sequence[float]
    cuts: int


def measure_still(clip: Sequence[Picture]) -> list[Result]:
    """The share of still frames that need no detection, by condition."""
    results = []
    for subject, scene in (("empty", empty_room(clip[0])), ("a person", clip[0])):
        for name in CONDITIONS:
            reference: GreyImage | None = None
            needed = 0
            for data in still_frames(scene, name, _STILL_FRAMES):
                current = thumbnail(decode_inspected(data, inspect(data, LIMITS)))
                if reference is None:
                    reference = current
                elif needs_detection(reference, current):
                    needed, reference = needed + 1, current
            still = 1 - needed / (_STILL_FRAMES - 1)
            results.append(Result("still", subject, {"condition": name}, {"unchanged": still}))
    return results


def measure_times(clip: Sequence[Picture], seconds: float) -> list[Result]:
    """CPU milliseconds of each step, medians."""
    first, second = thumbnail(clip[0]), thumbnail(clip[len(clip) // 2])
    steps: Mapping[str, Callable[[], object]] = {
        "thumbnail of 640x480": lambda: thumbnail(clip[0]),
        "comparison, unchanged": lambda: difference(first, first),
        "comparison, changed": lambda: difference(first, second),
    }
    taken: dict[str, list[float]] = {name: [] for name in steps}
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        for name, step in steps.items():
            before = time.process_time()
            step()
            taken[name].append(1000 * (time.process_time() - before))
    return [
        Result("comparison", name, {}, {"cpu_ms": statistics.median(times)})
        for name, times in taken.items()
    ]


def measure_visits(analyser: Analyser, clips: Iterable[Sequence[Picture]]) -> list[Result]:
    """What a search of the changed frames alone misses, by rate and interval."""
    counts: dict[tuple[int, float], list[_Counts]] = {}
    for clip in clips:
        for speed in SPEEDS:
            frames = [_searched(analyser, data) for data in visit(clip, speed)]
            for rate in RATES:
                some = _at_rate(frames, rate)
                for interval in INTERVALS:
                    counts.setdefault((rate, interval), []).append(_replay(some, rate, interval))
    return [
        Result(
            "visits",
            "changed frames",
            {"rate": rate, "interval": f"{interval:g}" if interval < INTERVALS[-1] else "none"},
            _values(every),
        )
        for (rate, interval), every in counts.items()
    ]


def _searched(analyser: Analyser, data: bytes) -> _Frame:
    picture = decode_inspected(data, inspect(data, LIMITS))
    ((*faces,),) = analyser.frames.find([(picture, 1)])
    return _Frame(thumbnail(picture), [face.box for face in faces])


def _at_rate(frames: Sequence[_Frame], rate: int) -> list[_Frame]:
    """Some of the frames, as evenly as they can be."""
    return [frames[int(number)] for number in np.arange(0, len(frames), RATE / rate)]


def _replay(frames: Sequence[_Frame], rate: int, interval: float) -> _Counts:
    """Search the frames that need it; the others have the boxes of the last one that was."""
    last, searched_at = frames[0], 0
    searched, missed, gone, carried, cuts = 1, 0, 0, 0, 0
    seen_at: int | None = None
    for number, frame in enumerate(frames[1:], 1):
        change = difference(last.grey, frame.grey)
        cuts += change.cut
        if change.moved or (number - searched_at) / rate >= interval:
            last, searched_at, searched = frame, number, searched + 1
        if last.boxes and seen_at is None:
            seen_at = number
        missed += _without(frame.boxes, last.boxes)
        gone += _without(last.boxes, frame.boxes)
        carried += len(last.boxes)
    began = next((number for number, frame in enumerate(frames) if frame.boxes), None)
    delays = [] if began is None else [((seen_at or len(frames)) - began) / rate]
    faces = sum(len(frame.boxes) for frame in frames)
    return _Counts(searched, len(frames), missed, faces, gone, carried, delays, cuts)


def _without(boxes: Sequence[FloatArray], others: Sequence[FloatArray]) -> int:
    """How many boxes have none of the others on them."""
    return sum(max((overlap(one, other) for other in others), default=0) < _SAME for one in boxes)


def _values(every: Sequence[_Counts]) -> dict[str, float]:
    delays = [delay for one in every for delay in one.delays]
    return {
        "visits": len(delays),
        "not_searched": 1 - sum(one.searched for one in every) / sum(one.frames for one in every),
        "delay": statistics.mean(delays),
        "delay_most": max(delays),
        "missed": sum(one.missed for one in every) / max(1, sum(one.faces for one in every)),
        "gone": sum(one.gone for one in every) / max(1, sum(one.carried for one in every)),
        "cuts": sum(one.cuts for one in every),
    }


async def run(arguments: argparse.Namespace) -> Report:
    """Measure still scenes, times and visits."""
    cv2.setNumThreads(1)
    clips = load_clips(arguments.shared)[: arguments.clips]
    results = measure_times(clips[0], arguments.seconds) + measure_still(clips[0])
    analyser = build_analyser(DetectSettings().models)
    results += measure_visits(analyser, clips)
    return make_report(results, [], {"clips": len(clips)})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--seconds", type=duration, default=2.0, help="of the times (default: %(default)s)"
    )
    parser.add_argument(
        "--shared",
        type=Path,
        help="folder with clips of one person in the middle of the frame (video/*/*.mkv); without "
        "it, the sample video",
    )
    parser.add_argument(
        "--clips", type=count, default=14, help="how many of them, at most (default: %(default)s)"
    )
