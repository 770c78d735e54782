"""Options of onnxruntime's providers for a GPU. Pure.

Names and values as in onnxruntime's documentation of the CUDA and the TensorRT execution provider
(https://onnxruntime.ai/docs/execution-providers/); onnxruntime takes all values as text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from config.settings.models import ConvolutionSearch

GpuProvider = Literal["cuda", "tensorrt"]

CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
CPU = "CPUExecutionProvider"

#: Most of a GPU's memory that the arena of one model may take by default, in bytes. Without a
#: limit an arena doubles with each growth and never shrinks, so that two workers cannot share a
#: GPU. Memory outside the arena (CUDA's context, cuDNN's workspace, engines) is not limited.
MEMORY_LIMIT = 4 * 1024**3

#: An exhaustive search times every algorithm for every new input shape, which takes seconds for
#: each; canvases and batches have many shapes.
CONVOLUTION_SEARCH: ConvolutionSearch = "heuristic"

Options = dict[str, str]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ShapeRange:
    """Input shapes of a model, (N, C, H, W): the least, the usual, and the greatest of each side.

    TensorRT builds one engine for the range, with the kernels that are fastest for the usual shape.
    """

    least: Shape
    usual: Shape
    most: Shape


@dataclass(frozen=True, slots=True)
class GpuPlan:
    """How a model runs on a GPU.

    Attributes:
        memory_limit: bytes of the arena, 0 for no limit; None is `MEMORY_LIMIT` if that works.
        convolution_search: how cuDNN selects algorithms; None is `CONVOLUTION_SEARCH` if that
            works.
        io_binding: keep buffers from run to run.
        float16: compute in half precision, which only TensorRT does.
        cache_dir: where TensorRT's engines are kept; None is nowhere.
        shapes: of the inputs that come; None if not known.
    """

    memory_limit: int | None = None
    convolution_search: ConvolutionSearch | None = None
    io_binding: bool = True
    float16: bool = False
    cache_dir: Path | None = None
    shapes: ShapeRange | None = None


class ModelInput(NamedTuple):
    """The input of a model file: its name, and its shape with None for free sides."""

    name: str
    shape: tuple[int | None, ...]


class Attempt(NamedTuple):
    """One way to start a session.

    Attributes:
        providers: in the order that onnxruntime tries them, each with its options.
        without: what is left out, for messages; nothing in the first attempt.
    """

    providers: Sequence[tuple[str, Options]]
    without: str = ""


def cuda_options(plan: GpuPlan, *, only_asked: bool = False) -> Options:
    """Options of the CUDA provider.

    Args:
        plan: how the model runs.
        only_asked: without what a setting does not name.
    """
    search, limit = plan.convolution_search, plan.memory_limit
    if not only_asked:
        search = search or CONVOLUTION_SEARCH
        limit = MEMORY_LIMIT if limit is None else limit
    options: Options = {}
    if search is not None:
        options["cudnn_conv_algo_search"] = search.upper()
    if limit:
        # Growth by what is asked for stays within the limit longer than growth by doubling.
        options |= {"gpu_mem_limit": str(limit), "arena_extend_strategy": "kSameAsRequested"}
    return options


def tensorrt_options(plan: GpuPlan, entry: ModelInput, engines: Path | None) -> Options:
    """Options of the TensorRT provider.

    Args:
        plan: how the model runs.
        entry: the model's input.
        engines: folder for the engines of this model; the folder above is for the timings, which
            all models share. None is nowhere.
    """
    options = precision_options(plan)
    if engines is not None:
        options |= {
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": str(engines),
            "trt_timing_cache_enable": "True",
            "trt_timing_cache_path": str(engines.parent),
        }
    return options | profile(plan.shapes, entry)


def precision_options(plan: GpuPlan) -> Options:
    """What TensorRT may compute in besides float32."""
    return {"trt_fp16_enable": "True"} if plan.float16 else {}


def profile(shapes: ShapeRange | None, entry: ModelInput) -> Options:
    """TensorRT's shape profile; nothing where no shape is known, or the file fixes all sides.

    Without it TensorRT builds another engine, in minutes, whenever a shape comes that is outside
    the range of those before.
    """
    if shapes is None or None not in entry.shape:
        return {}
    return {
        f"trt_profile_{name}_shapes": f"{entry.name}:{'x'.join(map(str, fitted(shape, entry)))}"
        for name, shape in (("min", shapes.least), ("opt", shapes.usual), ("max", shapes.most))
    }


def fitted(shape: Shape, entry: ModelInput) -> Shape:
    """A shape with the sides that the file fixes."""
    return tuple(
        side if fixed is None else fixed for side, fixed in zip(shape, entry.shape, strict=True)
    )


def attempts(
    provider: GpuProvider, plan: GpuPlan, entry: ModelInput, engines: Path | None
) -> list[Attempt]:
    """Ways to start a session, the fastest first.

    What no setting names is an optimisation: the later ways do without. What a setting names is
    part of every way.
    """
    plain, cuda = cuda_options(plan, only_asked=True), cuda_options(plan)
    left_out = ["a memory limit"] if plan.memory_limit is None else []
    left_out += ["a choice of algorithms"] if plan.convolution_search is None else []
    if provider == "cuda":
        found = [
            Attempt([(CUDA, cuda), (CPU, {})]),
            Attempt([(CUDA, plain), (CPU, {})], " and ".join(left_out)),
        ]
    else:
        fast = tensorrt_options(plan, entry, engines)
        uncached = tensorrt_options(plan, entry, None)
        left_out = ["the cache of engines", "a shape profile", *left_out]
        found = [
            Attempt([(TENSORRT, fast), (CUDA, cuda), (CPU, {})]),
            Attempt([(TENSORRT, uncached), (CUDA, cuda), (CPU, {})], f"the engines in {engines}"),
            Attempt(
                [(TENSORRT, precision_options(plan)), (CUDA, plain), (CPU, {})],
                " and ".join(left_out),
            ),
        ]
    return [
        one
        for place, one in enumerate(found)
        if one.providers not in [before.providers for before in found[:place]]
    ]


def asked(plan: GpuPlan) -> list[str]:
    """What settings ask for by name, as text for messages."""
    named = {
        "FECAPASS_MODELS__GPU_MEMORY_LIMIT": plan.memory_limit,
        "FECAPASS_MODELS__GPU_CONVOLUTION_SEARCH": plan.convolution_search,
        "precision": "float16" if plan.float16 else None,
    }
    return [f"{name}={value}" for name, value in named.items() if value is not None]
