"""Models in OpenVINO's own runtime, on the CPU."""

import sys
from collections import deque
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from domain.arrays import FloatArray
from domain.images.image_errors import ModelError, ProviderUnavailable

if TYPE_CHECKING:
    import openvino

_DEVICE = "CPU"
_REPORTER = "openvino_telemetry"

Shape = tuple[int, ...]
Config = dict[object, object]


class OpenvinoSession:
    """A `ml.runtime.sessions.Session`.

    The model is compiled for each input shape that comes, which makes a run shorter by a fifth than
    one of a model that leaves them free. They are few: one of an embedder, and a detector's
    canvases (`ml.detection.letterbox`).

    Each parallel run also has its own compiled model. One compiled model would pass runs to its own
    threads, one per stream, and wait for them: with lanes that alternate with onnxruntime's
    detector, the throughput of two lanes was 8 % lower. The cost is memory, 115 MiB per lane for
    SFace in float32. So batches have one of two sizes, which the caller of `batch_size` chooses.
    """

    provider: Literal["openvino"] = "openvino"

    def __init__(self, core: "openvino.Core", model: "openvino.Model", config: Config) -> None:
        if len(model.inputs) != 1:
            raise ModelError(
                f"a model with one input is expected, this one has {len(model.inputs)}"
            )
        self._core = core
        self._model = model
        self._config = config
        self.input_shape = _plain_shape(model.inputs[0].partial_shape)
        self.output_shapes = {
            out.any_name: _plain_shape(out.partial_shape) for out in model.outputs
        }
        # A request holds the memory of one run, and belongs to one run at a time.
        self._idle: dict[Shape, deque[openvino.InferRequest]] = {}
        self._compiling = Lock()

    def run(self, batch: FloatArray) -> list[FloatArray]:
        """Run the model.

        Raises:
            ModelError: the runtime cannot run it on this shape, or has no memory for it.
        """
        idle = self._idle.setdefault(batch.shape, deque())
        try:
            request = idle.pop()
        except IndexError:
            request = self._compile(batch.shape)
        # The input is read in place; the outputs are copied, because the request is used again.
        try:
            outputs = request.infer([batch], share_inputs=True, share_outputs=False)
        except RuntimeError as error:
            raise ModelError(f"openvino cannot run the model on {batch.shape}: {error}") from error
        finally:
            idle.append(request)
        return list(outputs.to_tuple())

    def batch_size(self, wanted: int, full: int = 1) -> int:
        """How many items to put into the next run: a full batch, or one, unless the file fixes it.

        Every batch size needs a separate compiled model in each lane.
        """
        return self.input_shape[0] or (full if wanted >= full else 1)

    def _compile(self, shape: Shape) -> "openvino.InferRequest":
        try:
            with self._compiling:
                model = self._model.clone()
                model.reshape(list(shape))
                compiled = self._core.compile_model(model, _DEVICE, self._config)
                return compiled.create_infer_request()
        except RuntimeError as error:
            raise ModelError(f"openvino cannot run the model on {shape}: {error}") from error


def load(path: Path, threads: int, variable: str, *, bfloat16: bool = False) -> OpenvinoSession:
    """Load an ONNX file.

    Args:
        path: the file.
        threads: threads of one run.
        variable: the environment variable that sets the provider, for messages.
        bfloat16: compute in bfloat16 instead of float32; the layers of a quantised file stay int8.

    Raises:
        ProviderUnavailable: the runtime is not installed, cannot start, or offers no CPU; or
            this processor has no bfloat16.
        ModelError: the file cannot be loaded.
    """
    runtime = _runtime(variable)
    try:
        core = runtime.Core()
        devices = core.available_devices
        capabilities = core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
        config = _config(runtime, threads, bfloat16=bfloat16)
    except (RuntimeError, AttributeError, ImportError) as error:
        # A folder that an uninstallation has left is imported as a package without content.
        raise ProviderUnavailable(
            f"openvino cannot start ({error}); set {variable}=cpu for onnxruntime"
        ) from error
    if _DEVICE not in devices:
        raise ProviderUnavailable(
            f"openvino was asked for ({variable}=openvino), but it offers "
            f"{', '.join(devices) or 'no device'} here; set {variable}=cpu for onnxruntime"
        )
    # Without the instructions OpenVINO would compute in float32 and say nothing.
    if bfloat16 and "BF16" not in capabilities:
        raise ProviderUnavailable(
            "bfloat16 was asked for, but this processor has neither AVX-512 BF16 nor AMX; set the "
            "precision to float32 or auto"
        )
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        raise ModelError(f"cannot load the model {path}: {error}") from error
    return OpenvinoSession(core, model, config)


def _runtime(variable: str) -> ModuleType:
    # An import of openvino sends telemetry to its maker, with another package and in a separate
    # process, and writes an id of this machine to the home directory. If that package cannot be
    # imported, openvino uses a stub instead.
    if _REPORTER not in sys.modules:
        sys.modules[_REPORTER] = None  # type: ignore[assignment]  # Python's way to say "no such module"
    try:
        import openvino  # noqa: PLC0415 - an optional extra, and heavy
    except ImportError as error:
        raise ProviderUnavailable(
            f"openvino was asked for ({variable}=openvino), but its runtime cannot be imported "
            f"({error}); install the package openvino (docs/operations.md, Sizing), or set "
            f"{variable}=cpu for onnxruntime"
        ) from error
    module: ModuleType = openvino
    return module


def _config(runtime: ModuleType, threads: int, *, bfloat16: bool) -> Config:
    from openvino import properties  # noqa: PLC0415 - as above

    hints = properties.hint
    return {
        hints.performance_mode: hints.PerformanceMode.LATENCY,
        properties.num_streams: 1,
        properties.inference_num_threads: threads,
        # By default OpenVINO uses bfloat16 if the processor has it.
        hints.inference_precision: runtime.Type.bf16 if bfloat16 else runtime.Type.f32,
        # The starter of this process decides on the cores, and the process runs more than the
        # models.
        hints.enable_cpu_pinning: False,
    }


def _plain_shape(shape: "openvino.PartialShape") -> tuple[int | None, ...]:
    if shape.rank.is_dynamic:
        return ()
    return tuple(size.get_length() if size.is_static else None for size in shape)
