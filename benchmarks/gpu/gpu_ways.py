"""The ways of running the models on a GPU that are compared, and starting them."""

import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from config.settings import ModelSettings
from config.settings.models import ExecutionProvider
from ml.recognition.gpu_plans import gpu_plan
from ml.runtime.model_placement import ModelRole, Placement, RunPrecision
from ml.runtime.model_registry import SFACE, YUNET, prepare_builtin
from ml.runtime.sessions import Session, create_session

_NVIDIA_SMI = "nvidia-smi"
_QUERY = "--query-gpu=name,driver_version,memory.total"
_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Way:
    """One way.

    Attributes:
        provider: where the models run.
        precision: what they compute in.
        settings: what differs from the default settings.
        bound: on the CPU, use bound buffers, which a worker does on a GPU only.
    """

    provider: ExecutionProvider
    precision: RunPrecision = "float32"
    settings: Mapping[str, object] = field(default_factory=dict)
    bound: bool = False

    @property
    def on_gpu(self) -> bool:
        """Whether it needs a GPU."""
        return self.provider in ("cuda", "tensorrt")

    def model_settings(self, cache_dir: Path, **changes: object) -> ModelSettings:
        """Settings of a worker that runs both models in this way."""
        return ModelSettings.model_validate(
            {
                "cache_dir": cache_dir,
                "execution_provider": self.provider,
                "precision": self.precision,
                **self.settings,
                **changes,
            }
        )


REFERENCE = "cpu"
#: By name. The settings of ``cuda, defaults of onnxruntime`` give its own default options.
WAYS: Mapping[str, Way] = {
    REFERENCE: Way("cpu"),
    "cpu, bound buffers": Way("cpu", bound=True),
    "cuda": Way("cuda"),
    "cuda, no bound buffers": Way("cuda", settings={"gpu_io_binding": False}),
    "cuda, exhaustive search": Way("cuda", settings={"gpu_convolution_search": "exhaustive"}),
    "cuda, defaults of onnxruntime": Way(
        "cuda",
        settings={
            "gpu_io_binding": False,
            "gpu_convolution_search": "exhaustive",
            "gpu_memory_limit": 0,
        },
    ),
    "tensorrt": Way("tensorrt"),
    "tensorrt, float16": Way("tensorrt", "float16"),
}
#: Those that whole frames are measured with.
FRAME_WAYS = (REFERENCE, "cuda", "tensorrt", "tensorrt, float16")


@dataclass(frozen=True, slots=True)
class Started:
    """A model that runs in some way.

    Attributes:
        session: of the model.
        seconds: from the file to a run on the greatest shape; TensorRT builds its engine.
        again: the same for a second start, where TensorRT finds its engine; None on a CPU.
    """

    session: Session
    seconds: float
    again: float | None


def start(way: Way, role: ModelRole, cache_dir: Path) -> Started:
    """Load one of the built-in models.

    Args:
        way: how it runs.
        role: which model.
        cache_dir: where TensorRT keeps engines; the model itself is where the settings say.

    Raises:
        ModelError: it does not run in this way, and why.
    """
    path = prepare_builtin(YUNET if role == "detector" else SFACE, ModelSettings().cache_dir)
    plan = None
    if way.on_gpu or way.bound:
        settings = way.model_settings(cache_dir)
        plan = gpu_plan(settings, role, Placement(way.provider, way.precision))

    def timed() -> tuple[Session, float]:
        began = time.perf_counter()
        session = create_session(path, way.provider, 1, plan=plan)
        return session, time.perf_counter() - began

    session, seconds = timed()
    return Started(session, seconds, timed()[1] if way.on_gpu else None)


def describe_gpu() -> str:
    """Name, driver and memory of each GPU, or why there is nothing to say."""
    program = shutil.which(_NVIDIA_SMI)
    if program is None:
        return f"none: {_NVIDIA_SMI} is not installed"
    try:
        done = subprocess.run(
            [program, _QUERY, "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"none: {_NVIDIA_SMI} failed: {error}"
    return "; ".join(done.stdout.split("\n")).strip("; ")
