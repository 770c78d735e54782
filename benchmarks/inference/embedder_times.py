"""CPU milliseconds a face of the embedder, by runtime, precision and batch, in one thread."""

import statistics
import time
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.load.frames import load_faces
from benchmarks.report import Ratio, Result, compare
from config.settings import ModelSettings
from config.settings.models import ExecutionProvider
from domain.images.image_errors import ModelError
from ml.recognition.alignment import ALIGNED_SIZE
from ml.runtime.model_placement import RunPrecision
from ml.runtime.model_registry import SFACE, prepare_builtin
from ml.runtime.sessions import Session, create_session, to_nchw

REFERENCE = "cpu float32"
WAYS: Mapping[str, tuple[ExecutionProvider, RunPrecision]] = {
    REFERENCE: ("cpu", "float32"),
    "cpu int8": ("cpu", "int8"),
    "openvino float32": ("openvino", "float32"),
    "openvino bfloat16": ("openvino", "bfloat16"),
    "openvino int8": ("openvino", "int8"),
}
MILLISECONDS = "cpu_ms_per_face"

_BATCHES = (1, 2, 4, 8, 16)


def embedder_sessions(settings: ModelSettings) -> dict[str, Session]:
    """The embedder in each way that this machine offers."""
    found = {}
    for name, (provider, precision) in WAYS.items():
        path = prepare_builtin(SFACE, settings.cache_dir, quantized=precision == "int8")
        try:
            found[name] = create_session(path, provider, 1, bfloat16=precision == "bfloat16")
        except ModelError as error:
            print(f"{name}: not measured: {error}")
    return found


def measure_times(ways: Mapping[str, Session], seconds: float) -> list[Result]:
    """CPU milliseconds a face, medians over turns of all ways."""
    face = np.ascontiguousarray(load_faces()[0][:ALIGNED_SIZE, :ALIGNED_SIZE])
    results = []
    for size in _BATCHES:
        batch = to_nchw([face] * size, rgb=True)
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for session in ways.values():
            session.run(batch)  # compiles and allocates
        began = time.perf_counter()
        while time.perf_counter() - began < seconds or len(taken[REFERENCE]) < 3:
            for name, session in ways.items():
                before = time.process_time()
                session.run(batch)
                taken[name].append(1000 * (time.process_time() - before) / size)
        results += [
            Result("embedder", name, {"batch": size}, {MILLISECONDS: statistics.median(times)})
            for name, times in taken.items()
        ]
    return results


def compare_times(results: Sequence[Result]) -> list[Ratio]:
    """The time a face over that of onnxruntime in float32."""
    return [
        one
        for name in WAYS
        if name != REFERENCE
        for one in compare(results, name, REFERENCE, MILLISECONDS)
    ]
