"""Presentation attack detection: is a face a person, or a picture of one?"""

from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from config.settings.base import Group, PositiveFraction, inconsistent

#: ``off``: no model runs. ``observe``: the result is reported. ``gate``: a picture of a person also
#: opens nothing and enrols nothing.
LivenessMode = Literal["off", "observe", "gate"]


class LivenessSettings(Group):
    """Whether faces are checked to be people; needs a model file, which is not shipped.

    The detect workers read the file, and its manifest next to it; all workers read the modes.
    """

    model_file: Path | None = None
    """MiniFASNet-type ONNX file; its manifest is next to it, with .json added to the name."""
    threshold: PositiveFraction | None = None
    """Minimum score of a person; unset: that of the manifest."""
    mode: LivenessMode | None = None
    """off, observe or gate; also for photos; unset: observe if there is a file, else off."""
    mode_by_camera: dict[str, LivenessMode] | None = None
    """The same for single cameras, with precedence; JSON, such as {"door-1": "gate"}."""

    @property
    def usual_mode(self) -> LivenessMode:
        """The mode of photos, and of cameras without one of their own."""
        if self.mode is not None:
            return self.mode
        return "off" if self.model_file is None else "observe"

    @property
    def is_used(self) -> bool:
        """Whether a model runs for anything."""
        return any(one != "off" for one in (self.usual_mode, *(self.mode_by_camera or {}).values()))

    def mode_of(self, camera_id: str) -> LivenessMode:
        """The mode of a camera."""
        return (self.mode_by_camera or {}).get(camera_id, self.usual_mode)

    @model_validator(mode="after")
    def _has_a_model(self) -> Self:
        """Without a model nothing is checked, and a gate would be open."""
        if self.model_file is None and self.is_used:
            raise inconsistent(
                "{mode} and {mode_by_camera} other than off need {model_file}: no model is shipped"
            )
        return self
