"""The bare models in a tight loop: no Kafka, no stores, one process.

Run alone: ``python -m benchmarks models --help``.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import get_args

import cv2
import numpy as np

from benchmarks.arguments import add_common, cases_of
from benchmarks.inference.embedder_times import compare_times, embedder_sessions, measure_times
from benchmarks.load.frames import Case, FrameSet, Picture, compose, load_faces
from benchmarks.report import Report, Result, compare, make_report
from config.settings import ModelSettings
from config.settings.models import ExecutionProvider
from ml.images.decoding import ImageLimits, decode
from ml.recognition.alignment import align
from ml.recognition.face_analyser import Analyser, build_analyser
from ml.runtime.cpu_cores import available_cores
from ml.runtime.model_placement import RunPrecision
from ml.runtime.model_registry import SFACE, YUNET, prepare_builtin

#: All threads share every run; a loop handles one frame after the other.
ONE_LOOP = "bare models, one loop"
#: Every run has one thread; as many loops run side by side.
LOOPS = "bare models, a loop per thread"
#: The same with the embedder in OpenVINO's runtime: the fastest known, where that is installed.
OPENVINO_LOOPS = "bare models with OpenVINO, a loop per thread"
DECODE = "decode + models"
ANALYSE = "decode + analyser"
OPENCV = "OpenCV"

LEAST_FRAMES = 4

#: Settings by the value of `Analyser.provider`: the detector's provider and the embedder's.
PROVIDERS: Mapping[str, Mapping[str, ExecutionProvider]] = {
    "cpu": {"execution_provider": "cpu"},
    "openvino": {"execution_provider": "openvino"},
    "cpu+openvino": {"embedder_provider": "openvino"},
}

#: Works on the frame of this number (modulo the set's size).
Work = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class BareModels:
    """The same models, set up in several ways.

    Attributes:
        settings: which models, and how many threads in all.
        shared: in onnxruntime; every run is shared by all threads.
        lanes: in onnxruntime; every run has one thread; as many loops run side by side.
        fastest: as lanes, with the embedder in OpenVINO; None where that is not installed.
        chosen: in lanes, on the selected providers: those of the pipeline.
    """

    settings: ModelSettings
    shared: Analyser
    lanes: Analyser
    fastest: Analyser | None
    chosen: Analyser

    @classmethod
    def load(
        cls, threads: int, provider: str = "cpu", precision: RunPrecision = "float32"
    ) -> "BareModels":
        """The default models on the CPU.

        OpenCV's own threads are set too.

        Args:
            threads: of the models, in all; 0: one per core.
            provider: a key of `PROVIDERS`.
            precision: of the embedder that is chosen; all others run in float32.

        Raises:
            ModelError: the provider is not installed, or has no such precision.
        """
        threads = threads or available_cores()
        cv2.setNumThreads(threads)
        settings = ModelSettings(threads=threads, execution_provider="cpu", precision="float32")
        lanes = build_analyser(settings)
        fastest = None
        if importlib.util.find_spec("openvino") is not None:
            fastest = build_analyser(settings.model_copy(update=dict(PROVIDERS["cpu+openvino"])))
        known = {"cpu": lanes, "cpu+openvino": fastest}
        chosen = known.get(provider) if precision == "float32" else None
        if chosen is None:
            update = {**PROVIDERS[provider], "embedder_precision": precision}
            chosen = build_analyser(settings.model_copy(update=update))
        return cls(settings, build_analyser(settings, threads), lanes, fastest, chosen)

    @property
    def limits(self) -> ImageLimits:
        """How large an image may be."""
        return ImageLimits(self.settings.max_image_bytes, self.settings.max_image_pixels)


def measure(work: Work, seconds: float, loops: int = 1) -> dict[str, float]:
    """Call ``work`` with 0, 1, 2, ... and return its rate.

    Args:
        work: handles one frame.
        seconds: how long to continue; each loop handles at least `LEAST_FRAMES`.
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
    """All ways of using the same threads, by subject; each takes its share of the time."""
    loops = models.lanes.lanes
    ways = {ONE_LOOP: (models.shared, 1), LOOPS: (models.lanes, loops)}
    if models.fastest is not None:
        ways[OPENVINO_LOOPS] = (models.fastest, loops)
    return {
        subject: measure(bare(analyser, frames), seconds / len(ways), number)
        for subject, (analyser, number) in ways.items()
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
        # None if there is no face, which OpenCV's type stubs do not say.
        faces = np.zeros((0, 15), np.float32) if found is None else np.asarray(found, np.float32)
        faces[:, :-1] /= np.float32(ratio)
        return [recogniser.feature(recogniser.alignCrop(image, face)) for face in faces]

    return work


def run_case(models: BareModels, frames: FrameSet, seconds: float) -> list[Result]:
    """Measure every variant on the frames of one case."""
    lanes = models.lanes.lanes
    measured = measure_bare(models, frames, 3 * seconds) | {
        DECODE: measure(decoding(models.chosen, frames, models.limits), seconds, lanes),
        ANALYSE: measure(analysing(models.chosen, frames, models.limits), seconds, lanes),
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
    models = BareModels.load(arguments.threads, arguments.provider, arguments.precision)
    ways = embedder_sessions(models.settings)
    results = measure_times(ways, arguments.seconds)
    faces = load_faces(arguments.portraits)
    for case in cases_of(arguments):
        results += run_case(models, compose(case, faces), arguments.seconds)
    ratios = [
        one
        for subject in (ONE_LOOP, OPENVINO_LOOPS, DECODE, ANALYSE, OPENCV)
        for one in compare(results, subject, LOOPS)
    ]
    return make_report(
        results,
        [*ratios, *compare_times(results)],
        {
            "threads": models.settings.threads,
            "provider": models.chosen.provider,
            "precision": models.chosen.precision,
        },
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_common(parser)
    add_provider(parser)


def add_provider(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where the models of a pipeline run."""
    parser.add_argument(
        "--provider",
        choices=PROVIDERS,
        default="cpu",
        help="the runtimes to measure in addition: the detector's and the embedder's "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        choices=get_args(RunPrecision),
        default="float32",
        help="of the embedder there; bfloat16 needs OpenVINO (default: %(default)s)",
    )
