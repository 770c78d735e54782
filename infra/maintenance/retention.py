"""The retention: deletes what is older than the settings allow, in bounded batches.

The row goes first. What a crash leaves then, a crop and an embedding without a row, is what the
reconciler deletes; a row never promises what is gone.
"""

from datetime import timedelta

import msgspec

from config.observability import metrics
from config.settings import Settings
from domain.events import utc_now
from infra.maintenance.maintenance_stores import Progress, UpkeepStores


class Retained(msgspec.Struct, frozen=True, kw_only=True):
    """What was too old in one place.

    Attributes:
        what: ``sightings``, ``crops``, ``embeddings``, ``cache entries`` or ``ledger lines``.
        days: how long it is kept; None for ever.
        found: how many were too old; of a dry run, of those that are counted beforehand.
        deleted: how many went.
    """

    what: str
    days: float | None
    found: int
    deleted: int


async def retain(
    stores: UpkeepStores, settings: Settings, progress: Progress, *, dry_run: bool
) -> list[Retained]:
    """Delete old sightings, with their crops and embeddings, and old lines of the ledger.

    Enrolled faces, templates and the audit trail stay. The age counts from the moment that a thing
    was stored, for a camera's clock may be wrong.

    Raises:
        StoreUnavailable: a store is unavailable; deletions that were made stay.
    """
    done = await _sightings(stores, settings, progress, dry_run=dry_run)
    done.append(await _ledger(stores, settings, progress, dry_run=dry_run))
    for one in done:
        metrics.RETENTION_DELETED.labels(what=one.what).inc(one.deleted)
    return done


async def _sightings(
    stores: UpkeepStores, settings: Settings, progress: Progress, *, dry_run: bool
) -> list[Retained]:
    days, batch = settings.retention.sightings_days, settings.maintenance.batch
    names = ("sightings", "crops", "embeddings", "cache entries")
    if days is None:
        return [Retained(what=what, days=None, found=0, deleted=0) for what in names]
    before = utc_now() - timedelta(days=days)
    if dry_run:
        old = await stores.main.count_old_sightings(before)
        return [Retained(what="sightings", days=days, found=old, deleted=0)]
    rows = crops = embeddings = 0
    while faces := await stores.main.delete_old_sightings(before, batch):
        embeddings += await stores.vectors.delete_sightings([face.id for face in faces])
        keys = [face.crop_key for face in faces if face.crop_key]
        await stores.crops.delete_many(keys)
        rows, crops = rows + len(faces), crops + len(keys)
        progress("old sightings", rows)
    entries = await stores.recents.forget_before(before)
    numbers = zip(names, (rows, crops, embeddings, entries), strict=True)
    return [Retained(what=what, days=days, found=one, deleted=one) for what, one in numbers]


async def _ledger(
    stores: UpkeepStores, settings: Settings, progress: Progress, *, dry_run: bool
) -> Retained:
    days = settings.retention.ledger_days
    if days is None:
        return Retained(what="ledger lines", days=None, found=0, deleted=0)
    before = utc_now() - timedelta(days=days)
    if dry_run:
        old = await stores.main.count_old_events(before)
        return Retained(what="ledger lines", days=days, found=old, deleted=0)
    gone = 0
    while deleted := await stores.main.delete_old_events(before, settings.maintenance.batch):
        gone += deleted
        progress("old lines of the ledger", gone)
    return Retained(what="ledger lines", days=days, found=gone, deleted=gone)
