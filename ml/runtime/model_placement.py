"""Where each model runs and in which precision, decided from the settings and the machine."""

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from config.settings import ModelSettings
from config.settings.models import ExecutionProvider, Precision, RequestedProvider
from domain.images.image_errors import ModelError
from ml.runtime.model_registry import SFACE

ModelRole = Literal["detector", "embedder"]

#: What a model computes in. int8 is a quantised file: float32 between its quantised layers.
RunPrecision = Literal["float32", "float16", "bfloat16", "int8"]


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides where a model runs fastest.

    Attributes:
        flags: see `processor_flags`.
        openvino: whether that runtime is installed.
    """

    flags: frozenset[str]
    openvino: bool

    @classmethod
    def this(cls) -> "Machine":
        """The machine that this process runs on."""
        return cls(processor_flags(), importlib.util.find_spec("openvino") is not None)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model runs, and in which precision."""

    provider: ExecutionProvider
    precision: RunPrecision


# What each provider computes in. If a precision is set and the provider is ``auto``, the first
# that is installed is used. onnxruntime's CPU provider has few operators in bfloat16 and was slower
# in int8 than in float32. Nothing was measured on a GPU; only TensorRT computes in float16 what the
# file has in float32.
_OFFERED: Mapping[ExecutionProvider, tuple[RunPrecision, ...]] = {
    "openvino": ("float32", "bfloat16", "int8"),
    "cpu": ("float32",),
    "cuda": ("float32",),
    "tensorrt": ("float32", "float16"),
}

# What ``auto`` may be.
_ON_THE_CPU: frozenset[ExecutionProvider] = frozenset({"openvino", "cpu"})

#: Models that have an int8 form.
QUANTIZED = frozenset({SFACE.id})

#: With one of these flags a processor adds up products of int8 without saturation on the way.
#: Without, embeddings may differ so much that they are another model's.
EXACT_INT8 = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})

_NO_EXACT_INT8 = (
    "this processor has neither AVX-512 VNNI nor AVX-VNNI nor AMX, so int8 may saturate"
)

# A processor is of a kind that OpenVINO was measured on in this precision if it has one of these
# flags. Others were not measured, for example int8 where there is avx_vnni alone.
_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})
_INT8 = frozenset({"avx512_vnni", "amx_int8"})
_MEASURED_ON: Mapping[RunPrecision, frozenset[str]] = {
    "float32": _BFLOAT16 | _INT8 | {"avx2"},
    "bfloat16": _BFLOAT16,
    "int8": _INT8,
}

# Fastest first: what was measured to be faster than `_DEFAULT` and to make the same decisions
# (docs/performance.md, "Precision").
_MEASURED: Mapping[str, tuple[Placement, ...]] = {
    SFACE.id: (
        Placement("openvino", "int8"),
        Placement("openvino", "bfloat16"),
        Placement("openvino", "float32"),
    )
}
_DEFAULT = Placement("cpu", "float32")


def place_models(
    settings: ModelSettings, models: Mapping[ModelRole, str], machine: Machine
) -> dict[ModelRole, list[Placement]]:
    """Where both models run, and in which precision: see `place`.

    ``precision`` applies to the models that have it; the others run in float32.
    ``detector_precision`` and ``embedder_precision`` apply to one model, which must have it.

    Args:
        settings: providers and precisions.
        models: the id of each built-in model, the kind of a user's own file.
        machine: this machine.

    Raises:
        ModelError: no model has the ``precision``, or a model does not have its own precision.
    """
    places: dict[ModelRole, list[Placement]] = {}
    refused: list[str] = []
    for role, model in models.items():
        own = settings.detector_precision if role == "detector" else settings.embedder_precision
        on = settings.detector_provider if role == "detector" else settings.embedder_provider
        provider = on or settings.execution_provider
        asked = own or settings.precision
        found = place(model, provider, asked, machine)
        if found:
            places[role] = found
            continue
        setting = f"{role.upper()}_PRECISION" if own else "PRECISION"
        message = f"FECAPASS_MODELS__{setting}={asked}: {_why_not(model, provider, asked, machine)}"
        if own:
            raise ModelError(message)
        refused.append(message)
        places[role] = place(model, provider, "float32", machine)
    if len(refused) == len(models):
        raise ModelError(refused[-1])
    return places


def place(
    model: str, provider: RequestedProvider, precision: Precision, machine: Machine
) -> list[Placement]:
    """Where a model runs: the ways that fit the settings, fastest first.

    The first is used; the others are for a machine where it does not work. What was not measured on
    this kind of processor is used only if a setting names it.

    Args:
        model: the id of a built-in model, the kind of a user's own file.
        provider: ``auto`` is the fastest on the CPU.
        precision: ``auto`` is the fastest.
        machine: this machine. A provider that is named need not be installed here: to load the
            model is an error then.

    Returns:
        Nothing if the model does not run in this precision on this provider.
    """

    def fits(way: Placement) -> bool:
        installed = way.provider != "openvino" or provider == "openvino" or machine.openvino
        exact = way.precision != "int8" or not EXACT_INT8.isdisjoint(machine.flags)
        there = way.provider == provider or (provider == "auto" and way.provider in _ON_THE_CPU)
        return installed and exact and there and precision in ("auto", way.precision)

    found = list(filter(fits, (*_measured(model, machine), _DEFAULT)))
    return found or list(filter(fits, _offered(model)))[:1]


def _measured(model: str, machine: Machine) -> Iterator[Placement]:
    """The ways that were measured on this kind of processor, fastest first."""
    for way in _MEASURED.get(model, ()):
        if not _MEASURED_ON[way.precision].isdisjoint(machine.flags):
            yield way


def _offered(model: str) -> Iterator[Placement]:
    """Every way in which a model can run, measured or not."""
    for provider, precisions in _OFFERED.items():
        for precision in precisions:
            if precision != "int8" or model in QUANTIZED:
                yield Placement(provider, precision)


def _why_not(
    model: str, provider: RequestedProvider, precision: Precision, machine: Machine
) -> str:
    if precision == "int8" and model not in QUANTIZED:
        return f"{model} has no int8 form"
    if provider != "auto" and precision not in _OFFERED[provider]:
        offered = " or ".join(_OFFERED[provider])
        return f"{model} runs on the provider {provider}, which computes in {offered}"
    if precision == "float16":
        return "only the provider tensorrt computes in float16"
    if precision == "int8" and (problem := int8_problem(machine)) is not None:
        return problem
    return "this needs OpenVINO, which is not installed (docs/operations.md, Sizing)"


def int8_problem(machine: Machine) -> str | None:
    """Why int8 on this machine is not what it is on others; None where it is."""
    return _NO_EXACT_INT8 if EXACT_INT8.isdisjoint(machine.flags) else None


def processor_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Features of the processor, by their names in ``/proc/cpuinfo``.

    Empty where Linux lists none under ``flags`` (ARM), and on other systems.
    """
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return frozenset()  # not Linux
    entries = (line.partition(":") for line in text.splitlines())
    values = (value for name, _, value in entries if name.strip() == "flags")
    return frozenset(next(values, "").split())
