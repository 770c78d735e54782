"""The manifest next to a liveness model: what the file needs, and under which licence it is used.

A model file alone does not say how its input is cut and scaled, nor which of its outputs is the
person; with one of these wrong it answers, and its answers mean nothing.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from domain.images.image_errors import ModelError
from ml.runtime.model_registry import sha256_of

#: The manifest of ``model.onnx`` is ``model.onnx.json``.
SUFFIX = ".json"

_LIVE = "live"
_SETTING = "FECAPASS_LIVENESS__MODEL_FILE"


class LivenessManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a model file.

    Attributes:
        licence: under which the file is used, in words or as an SPDX identifier; for people.
        sha256: of the model file, as hex.
        crop: side of the square around the face that the model looks at, in units of the longer
            side of the face's box: 1.5, 2.7 and 4.0 are usual for this family.
        size: width and height of the model's input in pixels.
        classes: of the model's outputs, in order; one is ``live``, the others name attacks.
        threshold: the least probability of ``live`` of a person.
        channels: order of the colours of the input.
        maximum: the input's value for white: 1 or 255.
        output: what the model gives: ``logits``, which are turned into probabilities by softmax, or
            ``probabilities``.
    """

    licence: Annotated[str, msgspec.Meta(min_length=1)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-fA-F]{64}$")]
    crop: Annotated[float, msgspec.Meta(ge=1.0, le=8.0)]
    size: Annotated[int, msgspec.Meta(ge=16, le=1024)]
    classes: Annotated[tuple[str, ...], msgspec.Meta(min_length=2, max_length=16)]
    threshold: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]
    channels: Literal["rgb", "bgr"] = "rgb"
    maximum: Literal[1, 255] = 1
    output: Literal["logits", "probabilities"] = "logits"

    @property
    def live(self) -> int:
        """Index of the output that is the person."""
        return self.classes.index(_LIVE)


def read_manifest(model_file: Path) -> tuple[Path, LivenessManifest]:
    """Read the manifest of a model file, and check the file against it.

    Returns:
        The path of the model file without ``~``, and its manifest.

    Raises:
        ModelError: the file or its manifest is missing or cannot be read, the manifest is wrong, or
            it is of another file.
    """
    path = _expanded(model_file)
    place = path.with_name(path.name + SUFFIX)
    actual = sha256_of(path)
    try:
        content = place.read_bytes()
    except OSError as error:
        raise ModelError(
            f"cannot read {place}, the manifest of {_SETTING}: {error.strerror}; "
            "docs/liveness.md says what stands in it"
        ) from error
    try:
        manifest = msgspec.json.decode(content, type=LivenessManifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{place} is no manifest of a liveness model: {error!s:.200}") from error
    if manifest.classes.count(_LIVE) != 1 or len(set(manifest.classes)) < len(manifest.classes):
        raise ModelError(f'{place}: "classes" must be different names, and one of them "{_LIVE}"')
    if manifest.sha256.lower() != actual:
        raise ModelError(
            f"{path} has SHA-256 {actual}, its manifest says {manifest.sha256.lower()}"
        )
    return path, manifest


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ModelError(
            f"{path}: there is no such home directory; set {_SETTING} to a path without ~"
        ) from error
