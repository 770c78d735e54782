"""Unknowns: people who are seen again and are not enrolled."""

from typing import Annotated

from pydantic import Field

from config.settings.base import Count, Fraction, Group, PositiveFraction
from config.settings.maintenance import Days


class UnknownSettings(Group):
    """Whether visits of unknown people are grouped, by whose face it is, and how."""

    enabled: bool = True
    """Recognise unknown people who come back; false where the law does not permit it."""
    threshold: PositiveFraction | None = None
    """Minimum cosine of a visit and the unknown that it joins; unset: 0.05 above a match."""
    margin: Annotated[float, Field(ge=0.0, le=2.0)] = 0.03
    """Minimum lead over the second-best unknown."""
    merge_threshold: PositiveFraction | None = None
    """Minimum cosine of every two visits of unknowns that are merged; unset: the threshold."""
    min_faces: Count = 3
    """Visits with fewer faces are not grouped."""
    min_quality: Fraction = 0.35
    """Faces of less quality are not used, 0 to 1."""
    retention_days: Days = 30.0
    """Days after its last visit for which an unknown is kept."""
