"""An adapter for liveness models of the MiniFASNet family, in ONNX.

The family (Silent-Face-Anti-Spoofing, minivision, 2020) judges the square around a face: the edge
of a sheet or a screen, and the texture of paper, glass and skin. What differs between its files,
the size of the square and the order of the outputs, is in the file's manifest.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from domain.arrays import FloatArray, Image
from domain.images.image_errors import ModelError
from ml.liveness.liveness_manifest import LivenessManifest, read_manifest
from ml.runtime.model_registry import user_model_id
from ml.runtime.sessions import Session, create_session, to_nchw

_WHITE = 255.0


class MiniFasNet:
    """A model of the family; it keeps no state, so several threads may call it at once."""

    def __init__(self, session: Session, manifest: LivenessManifest) -> None:
        """Use a loaded model.

        Args:
            session: the model.
            manifest: what it needs.

        Raises:
            ModelError: the model's input or output is not that of the manifest.
        """
        self._session = session
        self.manifest = manifest
        wanted, free = (1, 3, manifest.size, manifest.size), session.input_shape
        if len(free) != len(wanted) or any(
            has is not None and has != needs for has, needs in zip(free, wanted, strict=True)
        ):
            raise ModelError(
                f"the liveness model takes {_shape(free)}, its manifest says {_shape(wanted)}"
            )
        outputs = list(session.output_shapes.values())
        count = outputs[0][-1] if len(outputs) == 1 and outputs[0] else None
        if count is not None and count != len(manifest.classes):
            raise ModelError(
                f"the liveness model has {count} outputs, its manifest names "
                f"{len(manifest.classes)} classes"
            )

    @property
    def id(self) -> str:
        """Name of the model: other weights are another model."""
        return user_model_id("minifasnet", self.manifest.sha256.lower())

    def probabilities(self, squares: Sequence[Image]) -> FloatArray:
        """What the model says of squares, float32 (N, classes); the rows add up to 1.

        Args:
            squares: uint8 (size, size, 3), BGR, from `ml.liveness.face_squares.face_square`.

        Raises:
            ModelError: the outputs are not one number for each class.
        """
        rows = [self._run(square) for square in squares]
        empty = np.empty((0, len(self.manifest.classes)), np.float32)
        return np.stack(rows) if rows else empty

    def _run(self, square: Image) -> FloatArray:
        batch = to_nchw([square], rgb=self.manifest.channels == "rgb")
        batch *= np.float32(self.manifest.maximum / _WHITE)
        outputs = self._session.run(batch)
        row = np.asarray(outputs[0], np.float32).ravel()
        if len(outputs) != 1 or row.size != len(self.manifest.classes):
            raise ModelError(
                f"the liveness model gives {row.size} values, its manifest names "
                f"{len(self.manifest.classes)} classes"
            )
        if self.manifest.output == "probabilities":
            return row
        exponents = np.exp(row - row.max())
        return np.asarray(exponents / exponents.sum(), np.float32)


def load_minifasnet(model_file: Path) -> MiniFasNet:
    """Load a model by its manifest, and run it once.

    It runs in onnxruntime on the CPU, in one thread: a face takes a few milliseconds, and few faces
    of a track are embedded.

    Raises:
        ModelError: see `ml.liveness.liveness_manifest.read_manifest`; or the file is not a model,
            or not the one that its manifest describes.
    """
    path, manifest = read_manifest(model_file)
    model = MiniFasNet(create_session(path, "cpu", 1), manifest)
    model.probabilities([np.zeros((manifest.size, manifest.size, 3), np.uint8)])
    return model


def _shape(shape: Sequence[int | None]) -> str:
    return "x".join("?" if side is None else str(side) for side in shape)
