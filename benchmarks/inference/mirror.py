"""The mean of a face's and its mirror image's embedding: what it gains, and what it costs.

With and without the mirror image, in each precision: TAR of all pairs at several FAR, FNIR at an
FPIR of 1 % in an open set (a probe of a person is compared with the mean of their other photos),
and the separation d' of genuine and impostor cosines, each at its own thresholds and with 95 %
intervals (bootstrap over people, for both the same draws). Probes are the photos as they are, and
as a camera far away sees them. Precisions that this processor lacks are simulated for the accuracy.
Times are CPU milliseconds of one thread. Run alone: ``python -m benchmarks mirror --help``.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.arguments import duration
from benchmarks.inference.angles import pictures_by_path
from benchmarks.inference.embedder_times import MILLISECONDS, REFERENCE, WAYS, embedder_sessions
from benchmarks.inference.precision import faces_of
from benchmarks.inference.simulated_precisions import simulated_bfloat16, simulated_int8
from benchmarks.inference.verification import Faces, Floats, Names, draws, interval, measure
from benchmarks.load.frames import load_faces
from benchmarks.report import Report, Result, compare, make_report
from config.settings import ModelSettings
from domain.arrays import FloatArray
from infra.models.calibration import Aligned, aligned_faces
from ml.recognition.alignment import ALIGNED_SIZE
from ml.recognition.embedders import (
    UNCHANGED,
    ArcFaceEmbedder,
    Embedder,
    MirrorEmbedder,
    Runs,
    unit_rows,
)
from ml.recognition.face_analyser import build_analyser
from ml.runtime.model_placement import Machine, int8_problem
from ml.runtime.model_registry import SFACE, match_policy, prepare_builtin
from ml.runtime.sessions import Session, to_nchw

_PLAIN = "without"
_MIRROR = "with the mirror image"
_LEAST_RUNS = 3

# Side of an aligned face, 112 pixels, as a camera sees a face of the least default size.
_SMALL = 28
_SMALL_QUALITY = 60

Run = Callable[[FloatArray], list[FloatArray]]


def seen_from_afar(face: Aligned) -> Aligned:
    """An aligned face with the detail of one of 28 pixels, and the noise of JPEG."""
    small = cv2.resize(face, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", small, (cv2.IMWRITE_JPEG_QUALITY, _SMALL_QUALITY))
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(cv2.resize(decoded, face.shape[:2], interpolation=cv2.INTER_CUBIC), np.uint8)


#: How probes differ from the photos that people are enrolled with.
PROBES: Mapping[str, Callable[[Aligned], Aligned]] = {
    "the photos": lambda face: face,
    "from afar": seen_from_afar,
}


def embeddings(run: Run, faces: Sequence[Aligned]) -> tuple[FloatArray, FloatArray]:
    """Raw embeddings of faces and of their mirror images, (N, D) each."""
    mirrored = [np.ascontiguousarray(face[:, ::-1]) for face in faces]
    one, two = (
        np.concatenate([run(to_nchw([face], rgb=True))[0] for face in each])
        for each in (faces, mirrored)
    )
    return one, two


def precisions(settings: ModelSettings, sessions: Mapping[str, Session]) -> dict[str, Run]:
    """The embedder in each precision: on this processor where it has it, else simulated."""
    float32 = prepare_builtin(SFACE, settings.cache_dir)
    int8 = prepare_builtin(SFACE, settings.cache_dir, quantized=True)
    ways: dict[str, Run] = {"float32": sessions[REFERENCE].run}
    if "openvino bfloat16" in sessions:
        ways["bfloat16"] = sessions["openvino bfloat16"].run
    else:
        ways["bfloat16, simulated"] = simulated_bfloat16(float32).run
    if "openvino int8" in sessions and int8_problem(Machine.this()) is None:
        ways["int8"] = sessions["openvino int8"].run
    else:
        ways["int8, simulated"] = simulated_int8(int8).run
    return ways


def measure_accuracy(
    ways: Mapping[str, Run], faces: Sequence[Aligned], people: Names, others: Sequence[Aligned]
) -> list[Result]:
    """Accuracy with and without the mirror image, in each precision and for each kind of probe."""
    drawn = list(draws(people, len(others)))
    results = []
    for precision, run in ways.items():
        photos = embeddings(run, faces)
        for name, change in PROBES.items():
            probes = embeddings(run, [change(face) for face in faces])
            unknown = embeddings(run, [change(face) for face in others])
            found = [
                measure(
                    Faces(take(photos), take(probes), people, take(unknown)),
                    iter(drawn),
                    match_policy(SFACE.id, ModelSettings()),
                )
                for take in (_plain, _mean)
            ]
            case = {"precision": precision, "probes": name}
            results += [
                Result("accuracy", _PLAIN, case, _values(found[0])),
                Result("accuracy", _MIRROR, case, _values(found[1])),
                Result(
                    "change",
                    f"{_MIRROR}, 95 % interval",
                    case,
                    {
                        f"{value}_{end}": limit
                        for value in found[0]
                        for end, limit in zip(
                            ("low", "high"),
                            interval(found[1][value] - found[0][value]),
                            strict=True,
                        )
                    },
                ),
            ]
    return results


def measure_times(sessions: Mapping[str, Session], seconds: float) -> list[Result]:
    """CPU milliseconds a face, one face at a time, medians over turns of all ways."""
    problem = int8_problem(Machine.this())
    ways: dict[tuple[str, str], Embedder] = {}
    for name, session in sessions.items():
        if WAYS[name][1] == "int8" and problem is not None:
            print(f"{name}: not timed: {problem}")
            continue
        plain = ArcFaceEmbedder(session, SFACE.id, UNCHANGED)
        both = MirrorEmbedder(ArcFaceEmbedder(session, SFACE.id, UNCHANGED, runs=Runs(2)))
        ways |= {(name, _PLAIN): plain, (name, _MIRROR): both}
    face = np.ascontiguousarray(load_faces()[0][:ALIGNED_SIZE, :ALIGNED_SIZE])
    taken: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    for embedder in ways.values():
        embedder.embed([face])  # compiles and allocates
    began = time.perf_counter()
    while time.perf_counter() - began < seconds or len(taken[REFERENCE, _PLAIN]) < _LEAST_RUNS:
        for way, embedder in ways.items():
            before = time.process_time()
            embedder.embed([face])
            taken[way].append(1000 * (time.process_time() - before))
    return [
        Result("embedder", subject, {"way": name}, {MILLISECONDS: statistics.median(times)})
        for (name, subject), times in taken.items()
    ]


async def run(arguments: argparse.Namespace) -> Report:
    """Measure the times, and the accuracy if there are pictures."""
    settings = ModelSettings(execution_provider="cpu", precision="float32")
    sessions = embedder_sessions(settings)
    results = measure_times(sessions, arguments.seconds)
    ratios = compare(results, _MIRROR, _PLAIN, MILLISECONDS)
    if arguments.pictures is not None:
        faces, people = faces_of(arguments.pictures, settings)
        others: list[Aligned] = []
        if arguments.unknowns is not None:
            detector = build_analyser(settings).detector
            others = list(aligned_faces(detector, pictures_by_path(arguments.unknowns).values()))
        results += measure_accuracy(precisions(settings, sessions), faces, people, others)
    return make_report(results, ratios, {"seconds": arguments.seconds})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--seconds", type=duration, default=20.0, help="of the times (default: %(default)s)"
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        help="a folder of pictures, below it too; those of one person share a folder and the part "
        "of the name before the first _",
    )
    parser.add_argument(
        "--unknowns",
        type=Path,
        help="a folder of pictures of other people; every face in them is one more unknown",
    )


def _plain(both: tuple[FloatArray, FloatArray]) -> FloatArray:
    return unit_rows(both[0])


def _mean(both: tuple[FloatArray, FloatArray]) -> FloatArray:
    return unit_rows(np.asarray((both[0] + both[1]) / 2, np.float32))


def _values(found: Mapping[str, Floats]) -> dict[str, float]:
    return {name: float(values[0]) for name, values in found.items()}
