"""Times of models and of whole frames, and what a way does to the results."""

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from domain.arrays import FloatArray
from ml.images.decoding import ImageLimits, decode
from ml.recognition.embedders import unit_rows
from ml.recognition.face_analyser import Analyser
from ml.runtime.sessions import Session

_LEAST_RUNS = 3
_AHEAD = 1


def model_times(session: Session, batch: FloatArray, seconds: float) -> dict[str, float]:
    """Time one batch.

    Args:
        session: the model.
        batch: its input.
        seconds: about how long to measure.

    Returns:
        Medians: ``ms`` of wall-clock time and ``cpu_ms`` an item, and items ``per_second``.
    """
    session.run(batch)  # allocates
    session.run(batch)
    wall: list[float] = []
    cpu: list[float] = []
    began = time.perf_counter()
    while len(wall) < _LEAST_RUNS or time.perf_counter() - began < seconds:
        before, used = time.perf_counter(), time.process_time()
        session.run(batch)
        wall.append(time.perf_counter() - before)
        cpu.append(time.process_time() - used)
    size = len(batch)
    return {
        "ms": 1000 * statistics.median(wall) / size,
        "cpu_ms": 1000 * statistics.median(cpu) / size,
        "per_second": size / statistics.median(wall),
    }


def frame_rate(
    analyser: Analyser,
    jpegs: Sequence[bytes],
    seconds: float,
    *,
    decoders: int,
    overlap: bool,
) -> dict[str, float]:
    """Decode and analyse batches of JPEG frames as a detect worker does, without Kafka.

    Args:
        analyser: the models; as many batches at once as it has lanes.
        jpegs: the frames of a batch.
        seconds: about how long to measure.
        decoders: threads that decode.
        overlap: decode a batch while others are in the models.

    Returns:
        ``ms`` of wall-clock time and ``cpu_ms`` of all threads a frame, and frames ``per_second``.
    """
    limits = ImageLimits(max(map(len, jpegs)), 2**26)
    ahead = _AHEAD if overlap else 0
    with (
        ThreadPoolExecutor(decoders) as decoding,
        ThreadPoolExecutor(analyser.lanes) as models,
        ThreadPoolExecutor(analyser.lanes + ahead) as batches,
    ):

        def one_batch() -> None:
            images = list(decoding.map(lambda jpeg: decode(jpeg, limits), jpegs))
            models.submit(analyser.analyse, images).result()

        def loop(_lane: int) -> int:
            done = 0
            while not done or time.perf_counter() - began < seconds:
                one_batch()
                done += len(jpegs)
            return done

        one_batch()
        began, used = time.perf_counter(), time.process_time()
        frames = sum(batches.map(loop, range(analyser.lanes + ahead)))
        elapsed, cpu = time.perf_counter() - began, time.process_time() - used
    return {
        "ms": 1000 * elapsed / frames,
        "cpu_ms": 1000 * cpu / frames,
        "per_second": frames / elapsed,
    }


def embedding_cosines(reference: FloatArray, found: FloatArray) -> dict[str, float]:
    """Mean and least cosine of the two embeddings of each face, (N, D) raw embeddings each."""
    cosines = np.sum(unit_rows(reference) * unit_rows(found), axis=1)
    return {"cosine_mean": float(cosines.mean()), "cosine_least": float(cosines.min())}


def output_difference(
    reference: Sequence[FloatArray], found: Sequence[FloatArray]
) -> dict[str, float]:
    """The largest difference of any output of a detector."""
    pairs = zip(reference, found, strict=True)
    return {"difference": max(float(np.abs(one - other).max()) for one, other in pairs)}
