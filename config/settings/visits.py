"""Visits: when a person has come, who it is, and when the person has left."""

from typing import Self

from pydantic import model_validator

from config.settings.base import Count, Group, PositiveFraction, PositiveSeconds, inconsistent


class VisitRules(Group):
    """The rules of one camera's visits."""

    confirm_faces: Count = 3
    """Faces after which a visit is announced with its user."""
    strong_similarity: PositiveFraction = 0.6
    """Similarity at which one face is enough for that."""
    unknown_after: PositiveSeconds = 2.0
    """Seconds after which a visit is announced as unknown."""
    poor_faces: Count = 4
    """Faces after which a visit is announced when all of them are too poor to say who it is."""
    update_interval: PositiveSeconds = 1.0
    """Minimum seconds between two announcements of a visit that goes on."""
    end_after: PositiveSeconds = 10.0
    """Seconds without a face after which a visit has ended."""
    return_within: PositiveSeconds = 30.0
    """Seconds after the last face in which the same person continues the visit."""
    maximum_length: PositiveSeconds = 3600.0
    """Seconds after which a visit ends and another one continues it."""
    grace: PositiveSeconds = 5.0
    """Seconds that a face may be late; a later one joins its visit and changes nothing else."""
    similarity: PositiveFraction = 0.45
    """Minimum cosine of a face and the visit it joins; 0.05 less in 2 s after its last face."""
    hold_faces: Count = 3
    """Faces in a row for which another user leads before a visit is that user's."""


class VisitSettings(VisitRules):
    """Visits: one person's stay at one camera.

    All times are of the cameras' pictures, but for the end of a visit at a silent camera.
    """

    by_camera: dict[str, VisitRules] | None = None
    """The same for single cameras, with precedence; JSON, such as {"door-1": {"end_after": 5}}."""

    def of_camera(self, camera_id: str) -> VisitRules:
        """The rules of a camera: its own, where it has some, and those of all cameras."""
        own = (self.by_camera or {}).get(camera_id)
        if own is None:
            return self
        return self.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})

    @model_validator(mode="after")
    def _decides_before_it_announces(self) -> Self:
        """A return is later than the end, and no face in time is earlier than the end."""
        if self.end_after >= self.return_within:
            raise inconsistent("{end_after} must be less than {return_within}")
        if self.grace > self.end_after:
            raise inconsistent("{grace} must not be more than {end_after}")
        for camera_id in self.by_camera or {}:
            rules = self.of_camera(camera_id)
            if rules.end_after >= rules.return_within:
                raise inconsistent(
                    "{by_camera}: of a camera, end_after must be less than return_within"
                )
            if rules.grace > rules.end_after:
                raise inconsistent(
                    "{by_camera}: of a camera, grace must not be more than end_after"
                )
        return self
