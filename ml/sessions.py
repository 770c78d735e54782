"""The runtime behind the models. No other module knows that it is onnxruntime."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ml.arrays import FloatArray
from ml.cores import available_cores
from ml.errors import ModelError, ProviderUnavailable

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


class Session:
    """One loaded model.

    Attributes:
        provider: the execution provider in use.
        input_shape: as the model file states it, None where free.
        output_shapes: by output name, in the model's order, None where free.
    """

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
        """Run the model; the interpreter lock is released meanwhile.

        Args:
            batch: float32 array of the model's input shape.

        Returns:
            The outputs, in the model's order.
        """
        outputs: list[FloatArray] = self._session.run(self._outputs, {self._input: batch})
        return outputs

    def batch_size(self, wanted: int) -> int:
        """How many items to put into one run.

        On a CPU a batch is no faster than its items one by one (measured with the built-in
        models), and a run of constant shape is; on a GPU it is the point. A model file may fix
        the size.
        """
        fixed = self.input_shape[0]
        if fixed is not None:
            return fixed
        return 1 if self.provider == "cpu" else max(wanted, 1)


def create_session(path: Path, provider: Provider, threads: int) -> Session:
    """Load an ONNX file.

    Args:
        path: the file.
        provider: where it must run.
        threads: threads of one run on the CPU; 0 for one per core this process may use.

    Raises:
        ProviderUnavailable: the provider is not installed, or could not start.
        ModelError: the file cannot be loaded.
    """
    chain = _CHAINS[provider]
    _require(provider, onnxruntime.get_available_providers(), "this onnxruntime offers")
    try:
        session = onnxruntime.InferenceSession(
            str(path), sess_options=_options(threads), providers=list(chain)
        )
    except Exception as error:
        # onnxruntime raises a dozen unrelated types, most of them without a common base.
        raise ModelError(f"cannot load the model {path}: {error}") from error
    # onnxruntime only warns when a GPU provider fails to start, and goes on with the next.
    _require(provider, session.get_providers(), "the session runs on")
    session.disable_fallback()
    return Session(session, provider)


def _require(provider: Provider, present: Sequence[str], where: str) -> None:
    wanted = _CHAINS[provider][0]
    if wanted not in present:
        raise ProviderUnavailable(
            f"{wanted} was asked for (FECAPASS_MODELS__EXECUTION_PROVIDER={provider}), but {where} "
            f"{', '.join(present)}; install the GPU build and its drivers, or set "
            "FECAPASS_MODELS__EXECUTION_PROVIDER=cpu to allow the CPU"
        )


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_cores()
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Threads that spin between runs take the cores from decoding and from the event loop.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors; a refused provider is reported by _require
    return options


def _plain_shape(shape: Sequence[int | str | None]) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) else None for size in shape)


def to_nchw(images: Sequence[NDArray[np.uint8]], *, rgb: bool = False) -> FloatArray:
    """Stack (H, W, 3) BGR images of one size into float32 (N, 3, H, W), values unchanged.

    Args:
        images: the images, at least one.
        rgb: put the channels in the order red, green, blue.
    """
    height, width = images[0].shape[:2]
    batch = np.empty((len(images), 3, height, width), np.float32)
    for target, image in zip(batch, images, strict=True):
        # Splitting first is faster than a conversion across strides (1.9 ms for 3.0).
        planes = cv2.split(image)
        for channel, plane in enumerate(reversed(planes) if rgb else planes):
            target[channel] = plane
    return batch
