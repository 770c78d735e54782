"""The bare models in a tight loop: no Kafka, no stores, one process.

Run alone: ``python -m benchmarks models --help``.
"""

import argparse
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

import cv2
import numpy as np

from benchmarks.arguments import add_common, cases_of
from benchmarks.frames import Case, FrameSet, Picture, compose, load_faces
from benchmarks.report import Report, Result, compare, make_report
from config.settings import ModelSettings
from ml.alignment import align
from ml.analyser import Analyser, build_analyser
from ml.images import ImageLimits, decode
from ml.registry import SFACE, YUNET, prepare_builtin

#: All threads share every run; a loop handles one frame after the other.
ONE_LOOP = "bare models, one loop"
#: Every run has one thread; as many loops run side by side.
LOOPS = "bare models, a loop per thread"
DECODE = "decode + models"
ANALYSE = "decode + analyser"
OPENCV = "OpenCV"

LEAST_FRAMES = 4

#: Works on the frame of this number (modulo the set's size).
Work = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class BareModels:
    """The same models, set up in two ways.

    Attributes:
        settings: which models, and how many threads in all.
        shared: every run is shared by all threads.
        lanes: every run has one thread; as many loops run side by side.
    """

    settings: ModelSettings
    shared: Analyser
    lanes: Analyser

    @classmethod
    def load(cls, threads: int) -> "BareModels":
        """The default models on the CPU, with this many threads (0: one per core).

        OpenCV's own threads are set too.
        """
        threads = threads or len(os.sched_getaffinity(0))
        cv2.setNumThreads(threads)
        settings = ModelSettings(threads=threads)
        return cls(settings, build_analyser(settings, threads), build_analyser(settings))

    @property
    def limits(self) -> ImageLimits:
        """How large an image may be."""
        return ImageLimits(self.settings.max_image_bytes, self.settings.max_image_pixels)


def measure(work: Work, seconds: float, loops: int = 1) -> dict[str, float]:
    """Call ``work`` with 0, 1, 2, ... and tell its rate.

    Args:
        work: handles one frame.
        seconds: how long to go on; each loop handles at least `LEAST_FRAMES`.
        loops: how many threads do so side by side.

    Returns:
        ``frames_per_second``, and ``cpu_ms_per_frame`` over all threads of this process.
    """
    work(0)  # the first call allocates
    numbers = count()
    began, cpu = time.perf_counter(), time.process_time()

    def loop(_lane: int) -> int:
        done = 0
        while done < LEAST_FRAMES or time.perf_counter() - began < seconds:
            work(next(numbers))
            done += 1
        return done

    with ThreadPoolExecutor(loops) as threads:
        done = sum(threads.map(loop, range(loops)))
    elapsed, used = time.perf_counter() - began, time.process_time() - cpu
    return {"frames_per_second": done / elapsed, "cpu_ms_per_frame": 1000 * used / done}


def mean(*measured: Mapping[str, float]) -> dict[str, float]:
    """The mean of each value over several measurements."""
    return {name: sum(one[name] for one in measured) / len(measured) for name in measured[0]}


def measure_bare(
    models: BareModels, frames: FrameSet, seconds: float
) -> dict[str, dict[str, float]]:
    """Both ways of using the same threads, by subject; each takes half of the time."""
    one, many = bare(models.shared, frames), bare(models.lanes, frames)
    return {
        ONE_LOOP: measure(one, seconds / 2),
        LOOPS: measure(many, seconds / 2, models.lanes.lanes),
    }


def bare(analyser: Analyser, frames: FrameSet) -> Work:
    """Detect, align and embed on decoded frames: the least that recognition takes."""

    def work(number: int) -> object:
        return _models(analyser, frames.images[number % len(frames.images)])

    return work


def decoding(analyser: Analyser, frames: FrameSet, limits: ImageLimits) -> Work:
    """The same from JPEG."""

    def work(number: int) -> object:
        return _models(analyser, decode(frames.jpegs[number % len(frames.jpegs)], limits))

    return work


def analysing(analyser: Analyser, frames: FrameSet, limits: ImageLimits) -> Work:
    """All that the detect worker does to a frame: quality and crops as well."""

    def work(number: int) -> object:
        return analyser.analyse([decode(frames.jpegs[number % len(frames.jpegs)], limits)])

    return work


def opencv(frames: FrameSet, settings: ModelSettings) -> Work:
    """OpenCV's own FaceDetectorYN and FaceRecognizerSF on the same models and decoded frames.

    As the pipeline does, it detects with the long side at most ``detection_long_side``.
    """
    # OpenCV 5 warns of targets that its new engine does not know yet; the CPU is the default.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    height, width = frames.images[0].shape[:2]
    ratio = min(1.0, settings.detection_long_side / max(height, width))
    size = (round(width * ratio), round(height * ratio))
    detector = cv2.FaceDetectorYN.create(
        str(prepare_builtin(YUNET, settings.cache_dir)),
        "",
        size,
        settings.detection_threshold,
        settings.nms_threshold,
    )
    recogniser = cv2.FaceRecognizerSF.create(str(prepare_builtin(SFACE, settings.cache_dir)), "")

    def work(number: int) -> object:
        image = frames.images[number % len(frames.images)]
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if ratio < 1 else image
        found = detector.detect(small)[1]
        # None where there is no face, which OpenCV's type stubs do not tell.
        faces = np.zeros((0, 15), np.float32) if found is None else np.asarray(found, np.float32)
        faces[:, :-1] /= np.float32(ratio)
        return [recogniser.feature(recogniser.alignCrop(image, face)) for face in faces]

    return work


def run_case(models: BareModels, frames: FrameSet, seconds: float) -> list[Result]:
    """Measure every variant on the frames of one case."""
    lanes = models.lanes.lanes
    measured = measure_bare(models, frames, 2 * seconds) | {
        DECODE: measure(decoding(models.lanes, frames, models.limits), seconds, lanes),
        ANALYSE: measure(analysing(models.lanes, frames, models.limits), seconds, lanes),
        OPENCV: measure(opencv(frames, models.settings), seconds),
    }
    return [result(subject, frames.case, values) for subject, values in measured.items()]


def result(subject: str, case: Case, values: dict[str, float]) -> Result:
    """A result of this benchmark."""
    return Result("models", subject, case_key(case), values)


def case_key(case: Case) -> dict[str, str | int]:
    """A case as results name it."""
    return {"size": case.size, "faces": case.faces}


def _models(analyser: Analyser, image: Picture) -> object:
    (found,) = analyser.detector.detect([image])
    aligned = [align(image, landmarks) for landmarks in found.landmarks]
    return analyser.embedder.embed(aligned) if aligned else np.zeros((0, 0), np.float32)


async def run(arguments: argparse.Namespace) -> Report:
    """Measure every case."""
    models = BareModels.load(arguments.threads)
    results: list[Result] = []
    faces = load_faces(arguments.portraits)
    for case in cases_of(arguments):
        results += run_case(models, compose(case, faces), arguments.seconds)
    ratios = [
        one
        for subject in (ONE_LOOP, DECODE, ANALYSE, OPENCV)
        for one in compare(results, subject, LOOPS)
    ]
    return make_report(results, ratios, {"threads": models.settings.threads})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_common(parser)
