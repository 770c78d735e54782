"""The retention: deletes what is older than the settings allow, in bounded batches.

The row goes first. What a crash leaves then, a crop and an embedding without a row, is what the
reconciler deletes; a row never promises what is gone.
"""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec

from config.observability import metrics
from config.settings import Settings
from domain.decisions.corrections import UNDO_WITHIN
from domain.events import utc_now
from domain.personal_data import Cutoffs
from infra.maintenance.maintenance_stores import MaintenanceStores, Progress


class Retained(msgspec.Struct, frozen=True, kw_only=True):
    """What was too old in one place.

    Attributes:
        what: ``sightings``, ``visits``, ``snapshots`` (also those that no visit is shown by),
            ``crops``, ``pictures of snapshots``, ``embeddings``, ``cache entries``,
            ``photos taken out``, ``ledger lines``, ``cameras of visits``: where the visits agent
            stood with each; or ``unknowns``, ``embeddings of unknowns``.
        days: how long it is kept; None for ever.
        found: how many were too old; of a dry run, of those that are counted beforehand.
        deleted: how many went.
    """

    what: str
    days: float | None
    found: int
    deleted: int


#: What an old sighting has in each store, in the order of a listing; and what follows the ledger.
_OF_SIGHTINGS = (
    "sightings",
    "visits",
    "snapshots",
    "crops",
    "pictures of snapshots",
    "embeddings",
    "cache entries",
)
_PHOTOS = "photos taken out"
_LEDGER_LINES = "ledger lines"
_OF_LEDGER = (_LEDGER_LINES, "cameras of visits")
_OF_UNKNOWNS = ("unknowns", "embeddings of unknowns")


async def retain(
    stores: MaintenanceStores, settings: Settings, progress: Progress, *, dry_run: bool
) -> list[Retained]:
    """Delete old sightings, with their crops and embeddings, and old lines of the ledger.

    Of a visit that is over, the frame that shows it best is kept; other snapshots are deleted.

    Enrolled faces, templates and the audit trail stay. The age counts from the moment that a thing
    was stored, for a camera's clock may be wrong.

    Raises:
        StoreUnavailable: a store is unavailable; deletions that were made stay.
    """
    retention = settings.retention
    days = {
        **dict.fromkeys(_OF_SIGHTINGS, retention.sightings_days),
        _PHOTOS: float(UNDO_WITHIN.days),
        **dict.fromkeys(_OF_LEDGER, retention.ledger_days),
        **dict.fromkeys(_OF_UNKNOWNS, settings.unknowns.retention_days),
    }
    before = Cutoffs(
        _days_ago(retention.sightings_days),
        _days_ago(retention.ledger_days),
        settings.maintenance.batch,
        unknowns=_days_ago(settings.unknowns.retention_days),
    )
    if dry_run:
        found, deleted = Counter((await stores.records.overdue(before)).counts), Counter[str]()
        # What an old sighting has elsewhere is not counted beforehand.
        days = {what: kept for what, kept in days.items() if kept is None or what in found}
    else:
        found = deleted = await _delete(stores, before, progress)
    done = [
        Retained(what=what, days=kept, found=found[what], deleted=deleted[what])
        for what, kept in days.items()
    ]
    for one in done:
        metrics.RETENTION_DELETED.labels(what=one.what).inc(one.deleted)
    return done


async def _delete(stores: MaintenanceStores, before: Cutoffs, progress: Progress) -> Counter[str]:
    """Batch after batch, from the main database on, which knows what lies in the others."""
    gone: Counter[str] = Counter()
    *others, main = stores.personal_data
    while True:
        rows = await main.expire(before)
        for store in others:
            gone.update((await store.expire(replace(before, known=rows.elsewhere))).counts)
        if not rows.total:
            return gone
        gone.update(rows.counts)
        progress("old sightings", gone["sightings"])
        progress("old lines of the ledger", gone[_LEDGER_LINES])


def _days_ago(days: float | None) -> datetime | None:
    return None if days is None else utc_now() - timedelta(days=days)
