import sys
from pathlib import Path

import numpy as np
import pytest

from config.settings import ModelSettings
from ml.gallery.quantized_scan import CoarseCopy
from ml.images.decoding import Image, ImageLimits, decode
from ml.recognition.face_analyser import Analyser, build_analyser
from ml.runtime.model_placement import Machine

# What everything else is compared with; both models on OpenVINO; only the embedder.
REFERENCE = {"execution_provider": "cpu", "precision": "float32"}
ALL_OPENVINO = {"execution_provider": "openvino", "precision": "float32"}
SPLIT = {"detector_provider": "cpu", "embedder_provider": "openvino", "precision": "float32"}

# Without them bfloat16 is refused, and int8 may be computed with saturation on the way.
FLAGS = {
    "float32": frozenset(),
    "bfloat16": frozenset({"avx512_bf16", "amx_bf16"}),
    "int8": frozenset({"avx512_vnni", "avx_vnni", "amx_int8"}),
}

LIMITS = ImageLimits(max_bytes=32 * 1024 * 1024, max_pixels=50_000_000)


def read(path: Path) -> Image:
    return decode(path.read_bytes(), LIMITS)


def skip_without(precision: str) -> None:
    if (needed := FLAGS[precision]) and needed.isdisjoint(Machine.this().flags):
        pytest.skip(f"this processor has none of {', '.join(sorted(needed))}")


@pytest.fixture(scope="session", autouse=True)
def without_telemetry() -> None:
    """As in Fecapass: a test that imports OpenVINO itself sends nothing to its maker."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # no such module


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def analyser(model_cache: Path) -> Analyser:
    return build_analyser(ModelSettings(cache_dir=model_cache))


@pytest.fixture(scope="session")
def portraits(shared: Path) -> list[Path]:
    found = sorted((shared / "data/faces").rglob("*.jpg"))
    assert found
    return found


@pytest.fixture(scope="session")
def groups(shared: Path) -> list[Path]:
    found = sorted((shared / "data/groups").rglob("*.jpg"))
    assert found
    return found


def template_of(embeddings):
    """The mean of a person's embeddings at length 1, as the vector database makes it."""
    mean = np.mean(embeddings, axis=0, dtype=np.float64)
    return (mean / np.linalg.norm(mean)).astype(np.float32)


def unit_vectors(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def decoded(copy: CoarseCopy) -> np.ndarray:
    """What the codes of a coarse copy say, turned back: float32 (N, D)."""
    return copy._index.reconstruct_n(0, len(copy)) @ copy._rotation.T
