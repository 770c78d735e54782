"""Models in onnxruntime: on its CPU provider, on a GPU."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import onnxruntime

from domain.arrays import FloatArray
from domain.images.image_errors import ModelError, ProviderUnavailable

Provider = Literal["cpu", "cuda", "tensorrt"]

# In the order onnxruntime should try them; what one cannot run goes to the next. The first must
# be in use, or the session is refused.
_CHAINS: dict[Provider, tuple[str, ...]] = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": (
        "TensorrtExecutionProvider",
        "CUDAExecutionProvider",
        "CPUExecutionProvider",
    ),
}


class OnnxruntimeSession:
    """A `ml.runtime.sessions.Session`."""

    def __init__(self, session: onnxruntime.InferenceSession, provider: Provider) -> None:
        self._session = session
        self.provider: Provider = provider
        inputs = session.get_inputs()
        if len(inputs) != 1:
            raise ModelError(f"a model with one input is expected, this one has {len(inputs)}")
        self._input = inputs[0].name
        self.input_shape = _plain_shape(inputs[0].shape)
        self.output_shapes = {out.name: _plain_shape(out.shape) for out in session.get_outputs()}
        self._outputs = list(self.output_shapes)

    def run(self, batch: FloatArray) -> list[FloatArray]:
        """Run the model."""
        outputs: list[FloatArray] = self._session.run(self._outputs, {self._input: batch})
        return outputs

    def batch_size(self, wanted: int, full: int = 1) -> int:  # noqa: ARG002 - of the port
        """How many items to put into the next run.

        On a CPU a batch is no faster than its items one by one (measured with the built-in
        models), and a run of constant shape is; on a GPU it is the point.
        """
        fixed = self.input_shape[0]
        if fixed is not None:
            return fixed
        return 1 if self.provider == "cpu" else max(wanted, 1)


def load(path: Path, provider: Provider, threads: int, variable: str) -> OnnxruntimeSession:
    """Load an ONNX file.

    Args:
        path: the file.
        provider: where it must run.
        threads: threads of one run on the CPU.
        variable: the environment variable that sets the provider, for messages.

    Raises:
        ProviderUnavailable: the provider is not installed, or could not start.
        ModelError: the file cannot be loaded.
    """
    chain = _CHAINS[provider]
    _require(provider, onnxruntime.get_available_providers(), "this onnxruntime offers", variable)
    try:
        session = onnxruntime.InferenceSession(
            str(path), sess_options=_options(threads), providers=list(chain)
        )
    except Exception as error:
        # onnxruntime raises a dozen unrelated types, most of them without a common base.
        raise ModelError(f"cannot load the model {path}: {error}") from error
    # onnxruntime only warns when a GPU provider fails to start, and continues with the next.
    _require(provider, session.get_providers(), "the session runs on", variable)
    session.disable_fallback()
    return OnnxruntimeSession(session, provider)


def _require(provider: Provider, present: Sequence[str], where: str, variable: str) -> None:
    wanted = _CHAINS[provider][0]
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
