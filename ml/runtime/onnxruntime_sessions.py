"""Models in onnxruntime: on its CPU provider, on a GPU."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime

from domain.arrays import FloatArray
from domain.images.image_errors import ModelError, ProviderUnavailable
from ml.runtime.gpu.engine_cache import engine_folder
from ml.runtime.gpu.gpu_libraries import load_libraries
from ml.runtime.gpu.io_binding import BoundRuns
from ml.runtime.gpu.pinned_memory import ordinary, pinned
from ml.runtime.gpu.provider_options import (
    CPU,
    CUDA,
    TENSORRT,
    Attempt,
    GpuPlan,
    GpuProvider,
    ModelInput,
    asked,
    attempts,
    fitted,
)
from ml.runtime.model_registry import sha256_of

logger = logging.getLogger(__name__)

Provider = Literal["cpu", "cuda", "tensorrt"]

# The one that must be in use, or the session is refused; what it cannot run goes to the next.
_REQUIRED: dict[Provider, str] = {"cpu": CPU, "cuda": CUDA, "tensorrt": TENSORRT}


class OnnxruntimeSession:
    """A `ml.runtime.sessions.Session`."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        provider: Provider,
        *,
        io_binding: bool = False,
    ) -> None:
        self._session = session
        self.provider: Provider = provider
        self._input, self.input_shape = _only_input(session)
        self.output_shapes = {out.name: _plain_shape(out.shape) for out in session.get_outputs()}
        self._outputs = list(self.output_shapes)
        self._bound = None
        if io_binding:
            allocate = ordinary if provider == "cpu" else pinned
            self._bound = BoundRuns(session, self._input, self._outputs, allocate)

    def run(self, batch: FloatArray) -> list[FloatArray]:
        """Run the model."""
        bound = self._bound
        if bound is not None:
            try:
                return bound.run(batch)
            except Exception as error:  # noqa: BLE001 - onnxruntime's types have no common base
                # If the run itself is at fault, the plain one fails too, and says so.
                outputs = self._run_plain(batch)
                if self._bound is not None:
                    self._bound = None
                    logger.warning("runs go on without bound buffers: %s", error)
                return outputs
        return self._run_plain(batch)

    def batch_size(self, wanted: int, full: int = 1) -> int:  # noqa: ARG002 - of the port
        """How many items to put into the next run.

        On a CPU a batch is no faster than its items one by one (measured with the built-in
        models), and a run of constant shape is; on a GPU it is the point.
        """
        fixed = self.input_shape[0]
        if fixed is not None:
            return fixed
        return 1 if self.provider == "cpu" else max(wanted, 1)

    def _run_plain(self, batch: FloatArray) -> list[FloatArray]:
        outputs: list[FloatArray] = self._session.run(self._outputs, {self._input: batch})
        return outputs


def load(
    path: Path, provider: Provider, threads: int, variable: str, plan: GpuPlan | None = None
) -> OnnxruntimeSession:
    """Load an ONNX file.

    On a GPU, options that no setting names are optional: if the session does not start with them,
    or does not run the greatest shape of the plan, it is started again without, and a warning says
    why. Options that a setting names are not left out.

    Args:
        path: the file.
        provider: where it must run.
        threads: threads of one run on the CPU.
        variable: the environment variable that sets the provider, for messages.
        plan: how it runs on a GPU; of the CPU, only whether buffers are bound, by default not.

    Raises:
        ProviderUnavailable: the provider is not installed, or could not start, or not with the
            options that the settings name.
        ModelError: the file cannot be loaded.
    """
    _require(provider, onnxruntime.get_available_providers(), "this onnxruntime offers", variable)
    if provider == "cpu":
        session = _start(path, Attempt([(CPU, {})]), provider, threads, variable)
        bound = plan is not None and plan.io_binding
        return OnnxruntimeSession(session, provider, io_binding=bound)
    plan = plan or GpuPlan()
    load_libraries(tensorrt=provider == "tensorrt")
    entry = _input_of(path)
    if plan.shapes is not None and len(plan.shapes.usual) != len(entry.shape):
        plan = replace(plan, shapes=None)  # another kind of model, which its user refuses
    errors: list[ModelError] = []
    ways = attempts(provider, plan, entry, _engines(path, provider, plan))
    for attempt in ways:
        try:
            session = _start(path, attempt, provider, threads, variable)
            found = OnnxruntimeSession(session, provider, io_binding=plan.io_binding)
            _prove(found, path, _proof(plan, entry, last=attempt is ways[-1]))
        except ModelError as error:
            errors.append(error)
            continue
        if errors:
            logger.warning(
                "%s runs on %s without %s: %s", path.name, provider, attempt.without, errors[0]
            )
        return found
    named = ", ".join([f"{variable}={provider}", *asked(plan)])
    raise ProviderUnavailable(f"{errors[-1]} (settings: {named})") from errors[-1]


def _start(
    path: Path, attempt: Attempt, provider: Provider, threads: int, variable: str
) -> onnxruntime.InferenceSession:
    try:
        session = onnxruntime.InferenceSession(
            str(path),
            sess_options=_options(threads),
            providers=list(attempt.providers),
            # It would try again with other providers, and without the options.
            enable_fallback=0,
        )
    except Exception as error:
        # onnxruntime raises a dozen unrelated types, most of them without a common base.
        raise ModelError(f"cannot load the model {path}: {error}") from error
    # onnxruntime only warns when a GPU provider fails to start, and continues with the next.
    _require(provider, session.get_providers(), "the session runs on", variable)
    session.disable_fallback()
    return session


def _proof(plan: GpuPlan, entry: ModelInput, *, last: bool) -> tuple[int, ...] | None:
    """The input shape that a way must run to be used; None if it need not.

    The greatest one needs the most memory. A GPU that is too small for it is still of use, so the
    last way need not run it, unless a setting limits the memory. With other options that a setting
    names it must run the usual shape.
    """
    if plan.shapes is None:
        return None
    if not last or plan.memory_limit:
        return fitted(plan.shapes.most, entry)
    return fitted(plan.shapes.usual, entry) if asked(plan) else None


def _prove(session: OnnxruntimeSession, path: Path, shape: tuple[int, ...] | None) -> None:
    """Run the model.

    Raises:
        ModelError: it does not work.
    """
    if shape is None:
        return
    try:
        session.run(np.zeros(shape, np.float32))
    except Exception as error:
        raise ModelError(f"cannot run the model {path} on {shape}: {error}") from error


def _engines(path: Path, provider: GpuProvider, plan: GpuPlan) -> Path | None:
    if provider != "tensorrt" or plan.cache_dir is None:
        return None
    return engine_folder(plan.cache_dir, sha256_of(path), onnxruntime.__version__)


def _input_of(path: Path) -> ModelInput:
    """The input of a model file: read by the CPU provider, which needs no options."""
    return _only_input(_start(path, Attempt([(CPU, {})]), "cpu", 1, ""))


def _only_input(session: onnxruntime.InferenceSession) -> ModelInput:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ModelError(f"a model with one input is expected, this one has {len(inputs)}")
    return ModelInput(inputs[0].name, _plain_shape(inputs[0].shape))


def _require(provider: Provider, present: Sequence[str], where: str, variable: str) -> None:
    wanted = _REQUIRED[provider]
    if wanted not in present:
        raise ProviderUnavailable(
            f"{wanted} was asked for ({variable}={provider}), but {where} {', '.join(present)}; "
            f"install the GPU build and its drivers, or set {variable}=cpu to allow the CPU"
        )


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Threads that spin between runs take the cores from decoding and from the event loop.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors; a refused provider is reported by _require
    return options


def _plain_shape(shape: Sequence[int | str | None]) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) else None for size in shape)
