"""What a crash has left of snapshots: a picture without its row, a row without its picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.object_keys import SNAPSHOTS, name_of_picture
from infra.maintenance.faults import FaultCount
from infra.maintenance.maintenance_stores import MaintenanceStores, Progress

_FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class SnapshotChecks:
    """The part of one run of `infra.maintenance.reconcile.Reconciler` that is about snapshots.

    Attributes:
        stores: all four.
        before: what is younger counts as work in progress.
        batch: rows of a page.
        quiet_wait: seconds to wait until no worker has a claim.
        dry_run: check, and change nothing.
        progress: called with the progress.
    """

    stores: MaintenanceStores
    before: datetime
    batch: int
    quiet_wait: float
    dry_run: bool
    progress: Progress

    async def pictures(self, count: FaultCount) -> None:
        """Delete pictures that no row names; objects with other names are left alone.

        Raises:
            StoreUnavailable: a store is unavailable.
        """
        async for page in self.stores.crops.pages(SNAPSHOTS):
            keys = [one.key for one in page if one.written_at < self.before]
            for start in range(0, len(keys), self.batch):
                some = keys[start : start + self.batch]
                orphans = await self._without_row(some)
                count.checked += len(some)
                count.found += len(orphans)
                if orphans and not self.dry_run:
                    count.repaired += await self._discard(orphans)
            self.progress("snapshots", count.checked)

    async def rows(self, count: FaultCount) -> None:
        """Delete rows whose pictures are gone.

        Raises:
            StoreUnavailable: a store is unavailable.
        """
        last, records = _FIRST, self.stores.records
        while page := await records.snapshots_after(last, self.before, self.batch):
            last = page[-1][0]
            there = await self.stores.crops.existing(key for _, key in page)
            missing = {event_uuid for event_uuid, key in page if key not in there}
            # Every deletion of a snapshot deletes its row last; check whether it still exists.
            still = await records.snapshot_keys(missing) if missing else {}
            count.checked += len(page)
            count.found += len(still)
            if still and not self.dry_run:
                count.repaired += len(await records.forget_snapshots(still))
            self.progress("rows of snapshots", count.checked)

    async def _without_row(self, keys: Sequence[str]) -> list[str]:
        """Those of these keys that no row names."""
        frames = {key: frame for key in keys if (frame := name_of_picture(key))}
        rows = await self.stores.records.snapshot_keys(set(frames.values()))
        return [key for key, frame in frames.items() if rows.get(frame) != key]

    async def _discard(self, orphans: Sequence[str]) -> int:
        """Delete pictures without a row while no worker is writing; returns how many."""
        async with self.stores.records.no_claim_is_open(self.quiet_wait) as alone:
            if not alone:
                return 0
            still = await self._without_row(orphans)
            await self.stores.crops.delete_many(still)
        return len(still)
