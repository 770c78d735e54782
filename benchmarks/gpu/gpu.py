"""The models on a GPU: providers, options, precisions, batches and streams, in one table.

Each row is measured, or a note says why not; the rows of the CPU are the reference. Models: seconds
of a start, and of a restart with TensorRT's engines; how far results are from float32 on the CPU
(cosines of embeddings, the largest difference of the detector's outputs; with --pictures also who
is recognised); wall-clock and CPU milliseconds an item by batch, and items a second. Frames: the
same for JPEG decoding and both models, by streams, decoding while other batches are in the models
(overlapped) or before. What the time is not enough for is not run. Send the file that --json
writes. Run alone: ``python -m benchmarks gpu --help``.
"""

import argparse
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.arguments import count, counts, duration
from benchmarks.gpu.gpu_times import embedding_cosines, frame_rate, model_times, output_difference
from benchmarks.gpu.gpu_ways import FRAME_WAYS, REFERENCE, WAYS, describe_gpu, start
from benchmarks.inference.precision import faces_of
from benchmarks.load.frames import Case, compose, load_faces
from benchmarks.report import Report, Result, make_report
from config.settings import ModelSettings
from domain.arrays import FloatArray
from infra.models.accuracy import accuracy
from infra.models.calibration import Aligned, aligned_faces
from ml.recognition.embedders import unit_rows
from ml.recognition.face_analyser import build_analyser
from ml.runtime.model_placement import ModelRole
from ml.runtime.sessions import Session, to_nchw

MEASURED = "measured"
WITH_WARNING = "measured, see"
NOT_RUN = "not run, see"

_CASE = Case(640, 480, 4)
_FRAMES = 8
_ROLES: tuple[ModelRole, ...] = ("detector", "embedder")
_DECODING = ("overlapped", "before")
_MINUTE = 60.0

Values = Mapping[str, float]


class Table(logging.Handler):
    """The rows, until the time is over, and notes on them.

    Notes are why a row was not measured, and what the sessions warned of while it was; each is
    printed once.
    """

    def __init__(self, minutes: float) -> None:
        """Start the clock."""
        super().__init__(logging.WARNING)
        self.rows: list[Result] = []
        self.notes: dict[str, str] = {}
        self._minutes = minutes
        self._end = time.monotonic() + minutes * _MINUTE
        self._warnings: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Note a warning."""
        self._warnings.append(self._note(record.getMessage()))

    def add(self, case: Mapping[str, str | int], measure: Callable[[], Values]) -> bool:
        """Add a row; whether it was measured."""
        if time.monotonic() > self._end:
            return self._not_run(case, f"the {self._minutes:g} minutes are over")
        self._warnings = []
        try:
            values = measure()
        except Exception as error:  # noqa: BLE001 - whatever fails, other rows may work
            return self._not_run(case, str(error))
        subject = f"{WITH_WARNING} {self._warnings[0]}" if self._warnings else MEASURED
        self.rows.append(Result("gpu", subject, case, values))
        return True

    def _not_run(self, case: Mapping[str, str | int], reason: str) -> bool:
        self.rows.append(Result("gpu", f"{NOT_RUN} {self._note(reason)}", case, {}))
        return False

    def _note(self, text: str) -> str:
        if text not in self.notes:
            self.notes[text] = f"note {len(self.notes) + 1}"
            print(f"{self.notes[text]}: {text}")
        return self.notes[text]


class Inputs:
    """What the models are measured on, and what the CPU makes of it in float32."""

    def __init__(self, pictures: Path | None) -> None:
        """Read the pictures.

        Args:
            pictures: labelled pictures as for the benchmark ``precision``; None for the samples.
        """
        settings = ModelSettings(execution_provider="cpu", precision="float32")
        frames = compose(_CASE, load_faces(), _FRAMES)
        self.jpegs = frames.jpegs
        self.canvases = to_nchw([np.asarray(image) for image in frames.images])
        self.people = None
        self.faces: Sequence[Aligned]
        if pictures is None:
            self.faces = list(aligned_faces(build_analyser(settings).detector, frames.images))
        else:
            self.faces, self.people = faces_of(pictures, settings)
        self._references: dict[ModelRole, list[FloatArray]] = {}

    def batch(self, role: ModelRole, size: int) -> FloatArray:
        """A batch of pictures or of faces, float32 (N, 3, H, W)."""
        items = self.canvases if role == "detector" else to_nchw(self.faces[:size], rgb=True)
        return np.ascontiguousarray(items[np.arange(size) % len(items)])

    def results(self, session: Session, role: ModelRole) -> list[FloatArray]:
        """What a model makes of the first picture, or the embedder of every face."""
        if role == "detector":
            return session.run(self.canvases[:1])
        runs = [session.run(to_nchw([face], rgb=True))[0] for face in self.faces]
        return [np.concatenate(runs)]

    def compare(self, session: Session, role: ModelRole, *, is_reference: bool) -> Values:
        """How far a model's results are from the reference's, which comes first."""
        found = self.results(session, role)
        if is_reference:
            self._references[role] = found
        reference = self._references[role]
        if role == "detector":
            return output_difference(reference, found)
        values = embedding_cosines(reference[0], found[0])
        if self.people is not None:
            units = [unit_rows(reference[0]), unit_rows(found[0])]
            values |= accuracy(units[0], units[1], self.people)
        return values


def measure_models(
    table: Table, inputs: Inputs, cache_dir: Path, arguments: argparse.Namespace
) -> None:
    """Rows of both models in each way: the start and the results, then each size of batch."""
    for name, way in WAYS.items():
        for role in _ROLES:
            case = {"way": name, "what": role}
            sessions: list[Session] = []
            first = partial(_start_and_compare, sessions, inputs, name, role, cache_dir)
            if not table.add({**case, "batch": "start"}, first):
                continue
            sizes = arguments.pictures_at_once if role == "detector" else arguments.faces_at_once
            for size in sizes if way.on_gpu else sizes[:1]:
                batch = inputs.batch(role, size)
                timed = partial(model_times, sessions[0], batch, arguments.seconds)
                table.add({**case, "batch": size}, timed)


def measure_frames(
    table: Table, inputs: Inputs, cache_dir: Path, arguments: argparse.Namespace
) -> None:
    """Rows of whole frames, by streams, with decoding overlapped and before."""
    for name in FRAME_WAYS:
        way = WAYS[name]
        # Only TensorRT writes to it; the prepared models are where the settings say.
        cache = cache_dir if way.provider == "tensorrt" else ModelSettings().cache_dir
        rows = list(product(arguments.streams if way.on_gpu else arguments.streams[:1], _DECODING))
        for place, (streams, decoding) in enumerate(rows):
            case = {
                "way": name,
                "what": f"frames, decoding {decoding}",
                "batch": len(inputs.jpegs),
                "streams": streams,
            }
            settings = way.model_settings(cache, threads=streams, gpu_streams=streams)
            overlap = decoding == "overlapped"
            frames = partial(_frames, inputs, settings, arguments, overlap=overlap)
            if not table.add(case, frames) and not place:
                break  # nor do the other rows of this way run


async def run(arguments: argparse.Namespace) -> Report:
    """Measure every row."""
    table = Table(arguments.minutes)
    gpu = describe_gpu()
    print(f"GPU: {gpu}")
    logging.getLogger("ml").addHandler(table)
    try:
        inputs = Inputs(arguments.pictures)
        with TemporaryDirectory(prefix="fecapass-engines-") as engines:
            measure_models(table, inputs, Path(engines), arguments)
            measure_frames(table, inputs, Path(engines), arguments)
    finally:
        logging.getLogger("ml").removeHandler(table)
    missing = [one for one in table.rows if one.subject.startswith(NOT_RUN)]
    print(f"{len(table.rows) - len(missing)} rows measured, {len(missing)} not run")
    notes = {name: text for text, name in table.notes.items()}
    return make_report(table.rows, [], {"gpu": gpu, "seconds": arguments.seconds, **notes})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--seconds", type=duration, default=1.0, help="of each row (default: %(default)s)"
    )
    parser.add_argument(
        "--minutes",
        type=duration,
        default=9.0,
        help="no row begins later; a row of TensorRT builds an engine first (default: %(default)s)",
    )
    parser.add_argument(
        "--pictures-at-once", type=counts, default=[1, 8, 16], help="batches of the detector"
    )
    parser.add_argument(
        "--faces-at-once", type=counts, default=[1, 16, 64], help="batches of the embedder"
    )
    parser.add_argument(
        "--streams", type=counts, default=[1, 2, 4], help="batches in the models at once"
    )
    parser.add_argument(
        "--decoders", type=count, default=4, help="threads that decode (default: %(default)s)"
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        help="a folder of pictures, below it too, to measure recognition with; those of one person "
        "share a folder and the part of the name before the first _",
    )


def _start_and_compare(
    sessions: list[Session],
    inputs: Inputs,
    name: str,
    role: ModelRole,
    cache_dir: Path,
) -> Values:
    started = start(WAYS[name], role, cache_dir)
    sessions.append(started.session)
    values = {"start_s": started.seconds}
    if started.again is not None:
        values["restart_s"] = started.again
    return {**values, **inputs.compare(started.session, role, is_reference=name == REFERENCE)}


def _frames(
    inputs: Inputs,
    settings: ModelSettings,
    arguments: argparse.Namespace,
    *,
    overlap: bool,
) -> Values:
    analyser = build_analyser(settings)
    decoders = arguments.decoders
    return frame_rate(analyser, inputs.jpegs, arguments.seconds, decoders=decoders, overlap=overlap)
