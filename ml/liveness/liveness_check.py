"""From a face in a picture to a result: is it of use, what does the model say, is that a person?"""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.arrays import FloatArray, Image
from domain.decisions.liveness import InputPolicy, is_acceptable, judged
from domain.liveness_result import INPUT_REJECTED, Liveness
from ml.liveness.face_squares import face_square
from ml.liveness.minifasnet import MiniFasNet


@dataclass(frozen=True, slots=True, eq=False)
class FaceToCheck:
    """A face, and the picture that it is in.

    Attributes:
        image: uint8 (H, W, 3), BGR, upright.
        box: float32 (4,): x, y, width, height in pixels of the image.
    """

    image: Image
    box: FloatArray


class LivenessCheck:
    """Checks faces with one model; several threads may call it at once."""

    def __init__(
        self,
        model: MiniFasNet,
        threshold: float | None = None,
        policy: InputPolicy = InputPolicy(),  # noqa: B008 - immutable
    ) -> None:
        """Check with a model.

        Args:
            model: the model.
            threshold: the least score of a person; None: that of its manifest.
            policy: which pictures of faces the model is asked about.
        """
        self._model = model
        self._policy = policy
        self.threshold = model.manifest.threshold if threshold is None else threshold

    @property
    def model(self) -> str:
        """Id of the model."""
        return self._model.id

    def check(self, faces: Sequence[FaceToCheck]) -> list[Liveness]:
        """The result of each face; a picture that is of no use is not shown to the model."""
        manifest = self._model.manifest
        cut = [face_square(one.image, one.box, manifest.crop, manifest.size) for one in faces]
        accepted = [is_acceptable(measures, self._policy) for _, measures in cut]
        shown = [square for (square, _), useful in zip(cut, accepted, strict=True) if useful]
        scores = iter(self._model.probabilities(shown)[:, manifest.live])
        return [
            judged(self.model, float(next(scores)), self.threshold) if useful else INPUT_REJECTED
            for useful in accepted
        ]
