"""``fecapass worker`` that counts the CPU time of its models.

``python -m benchmarks.video.clocked_worker worker detect`` runs the command; `METRIC` is served
with the worker's own metrics. The models have to run in onnxruntime. It is started by
`benchmarks.video.video`.
"""

import time
from functools import wraps

from prometheus_client import Counter

from domain.arrays import FloatArray
from infra.cli.main import main
from ml.runtime.onnxruntime_sessions import OnnxruntimeSession

METRIC = "benchmark_model_cpu_seconds"

_SECONDS = Counter(METRIC, "CPU time of the models.")


def _count_runs() -> None:
    """Count the time of the thread that calls: with one thread a run, it does all the work."""
    run = OnnxruntimeSession.run

    @wraps(run)
    def timed(session: OnnxruntimeSession, batch: FloatArray) -> list[FloatArray]:
        began = time.thread_time()
        try:
            return run(session, batch)
        finally:
            _SECONDS.inc(time.thread_time() - began)

    OnnxruntimeSession.run = timed  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    _count_runs()
    main()
