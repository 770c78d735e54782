"""How long things are kept, and how often the stores are looked over."""

from typing import Annotated

from pydantic import Field

from config.settings.base import Count, Group, PositiveSeconds

Days = Annotated[float, Field(gt=0.0)]


class RetentionSettings(Group):
    """How long what was seen is kept; enrolled faces and the audit trail are kept always."""

    sightings_days: Days | None = None
    """Days that faces seen by cameras are kept, with crops and embeddings; unset: for ever."""
    ledger_days: Days | None = None
    """Days that the ledger of processed events is kept, longer than Kafka's; unset: for ever."""


class MaintenanceSettings(Group):
    """The reconciler, and the process that runs it and the retention."""

    interval: PositiveSeconds = 6 * 3600.0
    """Seconds between two rounds of `fecapass maintain`."""
    retry: PositiveSeconds = 60.0
    """Seconds until a round that failed is tried again."""
    grace: Annotated[float, Field(ge=0.0)] = 900.0
    """Seconds for which what lies in one store alone is taken for work in progress."""
    quiet_wait: PositiveSeconds = 2.0
    """Longest that a repair makes the identify workers wait for it, in seconds."""
    batch: Annotated[Count, Field(le=1000)] = 500
    """Rows or objects that are looked at, or deleted, at a time."""
