"""How long things are kept, and how often the stores are looked over."""

from typing import Annotated

from pydantic import Field

from config.settings.base import Count, Group, PositiveSeconds

Days = Annotated[float, Field(gt=0.0)]


class RetentionSettings(Group):
    """Retention of sightings and events; enrolled faces and the audit trail stay for ever."""

    sightings_days: Days | None = None
    """Days for which faces seen by cameras, crops and embeddings are kept; unset: for ever."""
    ledger_days: Days | None = None
    """Days for which the ledger of events is kept, longer than in Kafka; unset: for ever."""


class MaintenanceSettings(Group):
    """The reconciler, and the process that runs it and the retention."""

    interval: PositiveSeconds = 6 * 3600.0
    """Seconds between two rounds of `fecapass maintain`."""
    retry: PositiveSeconds = 60.0
    """Seconds before a round that failed is repeated."""
    grace: Annotated[float, Field(ge=0.0)] = 900.0
    """Data in only one store counts as work in progress for this many seconds."""
    quiet_wait: PositiveSeconds = 2.0
    """Maximum seconds that a repair waits for the lock, during which identify workers wait too."""
    batch: Annotated[Count, Field(le=1000)] = 500
    """Number of rows or objects that are checked or deleted at a time."""
