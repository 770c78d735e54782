"""The embedder by runtime and precision: time a face, and what it does to who is recognised.

Times are CPU milliseconds of one thread, all ways in turns. With ``--pictures``, the gallery is
embedded in float32 by onnxruntime and the probes in each precision: cosine of both embeddings of a
face, TAR of all pairs at the threshold where float32 has a FAR of 1e-4, FNIR of an open set (each
person's first picture enrolled, people with one picture as unknowns) at the threshold where
float32 has an FPIR of 1 %, and their differences from float32 with 95 % intervals (bootstrap over
people). Run alone: ``python -m benchmarks precision --help``.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.arguments import duration
from benchmarks.inference.angles import person_of, pictures_by_path
from benchmarks.inference.embedder_times import (
    REFERENCE,
    compare_times,
    embedder_sessions,
    measure_times,
)
from benchmarks.report import Report, Result, make_report
from config.settings import ModelSettings
from domain.arrays import FloatArray
from infra.models.accuracy import accuracy
from infra.models.calibration import Aligned, largest_face
from ml.recognition.embedders import unit_rows
from ml.recognition.face_analyser import build_analyser
from ml.runtime.sessions import Session, to_nchw


def faces_of(folder: Path, settings: ModelSettings) -> tuple[list[Aligned], npt.NDArray[np.str_]]:
    """The largest face of each picture, aligned, and whose it is."""
    detector = build_analyser(settings).detector
    faces, people = [], []
    for path, picture in pictures_by_path(folder).items():
        face = largest_face(detector, picture)
        if face is not None:
            faces.append(face)
            people.append(person_of(path))
    return faces, np.array(people)


def embed(session: Session, faces: Sequence[Aligned]) -> FloatArray:
    """Unit embeddings, (N, D)."""
    return unit_rows(np.concatenate([session.run(to_nchw([one], rgb=True))[0] for one in faces]))


async def run(arguments: argparse.Namespace) -> Report:
    """Measure every way."""
    settings = ModelSettings(execution_provider="cpu", precision="float32")
    ways = embedder_sessions(settings)
    results = measure_times(ways, arguments.seconds)
    if arguments.pictures is not None:
        faces, people = faces_of(arguments.pictures, settings)
        reference = embed(ways[REFERENCE], faces)
        results += [
            Result(
                "accuracy",
                name,
                {"faces": len(faces)},
                accuracy(reference, embed(session, faces), people),
            )
            for name, session in ways.items()
        ]
    return make_report(results, compare_times(results), {"seconds": arguments.seconds})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--seconds", type=duration, default=5.0, help="of each size of batch (default: %(default)s)"
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        help="a folder of pictures, below it too, to measure recognition with; those of one person "
        "share a folder and the part of the name before the first _",
    )
