"""Which faces of which images are checked to be people, and the check itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agents.detect.model_lanes import ModelLanes
from config.observability import metrics
from domain.arrays import FloatArray, Image
from domain.decisions.liveness import LivenessMode
from domain.events import EventKind, ImageEvent
from domain.liveness_result import Liveness
from ml.liveness.liveness_check import FaceToCheck, LivenessCheck


def _off(_camera_id: str) -> LivenessMode:
    return "off"


@dataclass(frozen=True, slots=True)
class LivenessPolicy:
    """What is checked.

    Attributes:
        check: the model; None: nothing is checked.
        of_camera: the mode of a camera.
        of_photos: the mode of photos that are to be enrolled.
    """

    check: LivenessCheck | None = None
    of_camera: Callable[[str], LivenessMode] = _off
    of_photos: LivenessMode = "off"

    def mode(self, event: ImageEvent) -> LivenessMode:
        """What is done with the faces of an image; a photo that is searched by is not checked."""
        if self.check is None or event.kind is EventKind.SEARCH:
            return "off"
        return self.of_camera(event.key) if event.kind is EventKind.FRAME else self.of_photos


#: Nothing is checked.
NO_LIVENESS = LivenessPolicy()


class EmbeddedIn(NamedTuple):
    """A face that is embedded, with its image: uint8 (H, W, 3), and its box there: float32 (4,)."""

    event: ImageEvent
    image: Image
    box: FloatArray


class LivenessChecks:
    """Checks faces that are embedded: with these an image is decoded in full size."""

    def __init__(self, policy: LivenessPolicy, lanes: ModelLanes) -> None:
        """Check what the policy says, in the threads of the models."""
        self._policy = policy
        self._lanes = lanes

    def mode(self, event: ImageEvent) -> LivenessMode:
        """See `LivenessPolicy.mode`."""
        return self._policy.mode(event)

    async def check(self, faces: Sequence[EmbeddedIn]) -> list[Liveness | None]:
        """The result of each face; None where it is not checked."""
        check = self._policy.check
        wanted = [one for one in faces if self.mode(one.event) != "off"]
        if check is None or not wanted:
            return [None] * len(faces)
        shown = [FaceToCheck(one.image, one.box) for one in wanted]
        with metrics.stage("liveness"):
            results = iter(await self._lanes.share(shown, check.check))
        return [next(results) if self.mode(one.event) != "off" else None for one in faces]
