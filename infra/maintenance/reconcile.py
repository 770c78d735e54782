"""The reconciler: finds what a crash between two stores has left behind, and repairs it.

It goes through each store in pages. Data that is younger than the grace period counts as work in
progress. Age alone is not enough, because a frame may be delivered again whose crop is an hour old:
so everything is checked again before it is deleted, while no worker has a claim
(`sinks.main.main_maintenance.MainMaintenance.no_claim_is_open`). A second run finds nothing.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from agents.identify.match_events import messages_of
from config.observability import metrics
from config.settings import Settings
from domain.events import utc_now
from domain.personal_data import FacePart, FaceParts
from infra.maintenance import checks
from infra.maintenance.faults import Fault, FaultCount
from infra.maintenance.maintenance_stores import MaintenanceStores, Progress, publishing
from infra.maintenance.snapshot_checks import SnapshotChecks
from sinks.main.main_maintenance import Unannounced
from sinks.objects.bucket import StoredObject
from sinks.vector.deactivation import align_suspension
from streams.clients.durable_producer import Publisher
from streams.contract.topics import Topics

_FIRST = UUID(int=0)

#: The fault of a part of a face that has no row, by its kind.
_WITHOUT_ROW = {
    "crop": Fault.CROP_WITHOUT_ROW,
    "sighting": Fault.SIGHTING_WITHOUT_ROW,
    "template": Fault.TEMPLATE_WITHOUT_ROW,
}
_PART_FAULTS = tuple(_WITHOUT_ROW.values())


@dataclass(frozen=True, slots=True)
class Reconciler:
    """One run over all stores.

    Attributes:
        stores: all four.
        settings: batches, grace, retention of the topics.
        dry_run: check, and change nothing.
        progress: called with the progress.
    """

    stores: MaintenanceStores
    settings: Settings
    dry_run: bool
    progress: Progress

    async def run(self) -> list[FaultCount]:
        """Look for every kind of fault, and repair what is found.

        Raises:
            StoreUnavailable: a store is unavailable; repairs that were made stay.
            Retry: the broker is unavailable, and something is to be announced.
        """
        before = utc_now() - timedelta(seconds=self.settings.maintenance.grace)
        counts = {fault: FaultCount(fault=fault) for fault in Fault}
        for store in self.stores.personal_data:
            if isinstance(store, FaceParts):
                await self._parts(store, before, counts)
        await self._rows(before, counts)
        snapshots = self._snapshot_checks(before)
        await snapshots.pictures(counts[Fault.SNAPSHOT_WITHOUT_ROW])
        await snapshots.rows(counts[Fault.ROW_WITHOUT_SNAPSHOT])
        await self._suspensions(counts[Fault.WRONG_SUSPENSION])
        await self._means(counts[Fault.WRONG_MEAN])
        await self._unannounced(before, counts[Fault.NOT_ANNOUNCED])
        await self._claim_checks(counts[Fault.OLD_CLAIM_CHECK])
        for count in counts.values():
            metrics.FAULTS_FOUND.labels(fault=count.fault.value).inc(count.found)
            metrics.FAULTS_REPAIRED.labels(fault=count.fault.value).inc(count.repaired)
        return list(counts.values())

    def _snapshot_checks(self, before: datetime) -> SnapshotChecks:
        quiet_wait = self.settings.maintenance.quiet_wait
        return SnapshotChecks(
            self.stores, before, self._batch, quiet_wait, self.dry_run, self.progress
        )

    async def _parts(
        self, store: FaceParts, before: datetime, counts: dict[Fault, FaultCount]
    ) -> None:
        """What a store keeps of faces that have no row."""
        async for page in store.face_parts(before, self._batch):
            rows = await self.stores.records.crop_keys({one.face_id for one in page})
            orphans = checks.without_row(page, rows)
            gone = await self._discard(store, orphans) if orphans and not self.dry_run else []
            for one in page:
                counts[_WITHOUT_ROW[one.kind]].checked += 1
            for one in orphans:
                counts[_WITHOUT_ROW[one.kind]].found += 1
            for one in gone:
                counts[_WITHOUT_ROW[one.kind]].repaired += 1
            self.progress("parts of faces", sum(counts[one].checked for one in _PART_FAULTS))

    async def _discard(self, store: FaceParts, orphans: Sequence[FacePart]) -> list[FacePart]:
        """Delete parts without a row while no worker is writing; returns what was deleted."""
        async with self._no_claim_is_open() as alone:
            if not alone:
                return []
            rows = await self.stores.records.crop_keys({one.face_id for one in orphans})
            still = checks.without_row(orphans, rows)
            await store.discard(still)
        return still

    async def _rows(self, before: datetime, counts: dict[Fault, FaultCount]) -> None:
        """A row whose crop or embedding is gone cannot get it back; it can stop promising it."""
        crops, embeddings = counts[Fault.ROW_WITHOUT_CROP], counts[Fault.ROW_WITHOUT_EMBEDDING]
        last = _FIRST
        while page := await self.stores.records.faces_after(last, before, self._batch):
            last = page[-1].id
            embedded = {face.id for face in page if face.has_embedding}
            there = await self.stores.vectors.there(embedded)
            lost = await self.stores.records.not_yet_lost(embedded - there)
            missing = await checks.without_crop(self.stores.crops, page)
            # Every deletion of a face deletes its row last; check whether it still exists.
            still = await self.stores.records.crop_keys([*lost, *(face.id for face in missing)])
            lost &= still.keys()
            missing = [face for face in missing if still.get(face.id) == face.crop_key]
            crops.checked += len(page)
            embeddings.checked += len(embedded)
            crops.found += len(missing)
            embeddings.found += len(lost)
            if not self.dry_run:
                crops.repaired += await self.stores.records.forget_crops(missing)
                embeddings.repaired += await self.stores.records.note_lost(lost)
            self.progress("rows", crops.checked)

    async def _suspensions(self, count: FaultCount) -> None:
        """Deactivated users are in no gallery, and all other users are."""
        last = _FIRST
        while page := await self.stores.vectors.standing_after(last, self._batch):
            last = max(page)
            users = await self.stores.records.users(page)
            count.checked += len(page)
            for user in users.values():
                if user.is_active != page[user.id]:
                    continue
                count.found += 1
                if not self.dry_run:
                    count.repaired += await self._align(user.id)
            self.progress("people", count.checked)

    async def _align(self, user_id: UUID) -> bool:
        """Suspend or resume, as the user's row says, while no other process can change it."""
        async with self.stores.records.held_user(user_id) as is_active:
            await align_suspension(self.stores.vectors, user_id, is_active=is_active)
        return is_active is not None

    async def _means(self, count: FaultCount) -> None:
        for model in await self.stores.vectors.models():
            last = _FIRST
            while page := await self.stores.vectors.people_after(model, last, self._batch):
                last = page[-1]
                count.checked += len(page)
                for person in await self.stores.vectors.wrong_means(model, page):
                    count.found += 1
                    if not self.dry_run:
                        await self.stores.vectors.repair_mean(model, person)
                        count.repaired += 1
                self.progress("people", count.checked)

    async def _unannounced(self, before: datetime, count: FaultCount) -> None:
        page = await self.stores.records.unannounced(before, None, self._batch)
        if not page:
            return
        if self.dry_run:
            while page:
                count.found += len(page)
                page = await self.stores.records.unannounced(before, page[-1], self._batch)
        else:
            async with publishing(self.settings) as publisher:
                while page:
                    await self._announce(page, publisher, count)
                    page = await self.stores.records.unannounced(before, page[-1], self._batch)
        count.checked = count.found

    async def _announce(
        self, page: Sequence[Unannounced], publisher: Publisher, count: FaultCount
    ) -> None:
        """Announce under the events' claim: no worker is about to do so at the same time."""
        topics = Topics(self.settings.kafka.topic_prefix)
        async with self.stores.records.claim([one.key for one in page]) as claim:
            rows = [row for row in claim.existing.values() if not row.announced]
            messages = [
                message
                for row in rows
                for message in await messages_of(
                    self.stores.records,
                    row,
                    topics,
                    frames_processed=self.settings.kafka.frames_processed,
                )
            ]
            await publisher.send_all(messages)
            await self.stores.records.mark_announced((row.event_uuid, row.model) for row in rows)
        count.found += len(rows)
        count.repaired += len(rows)

    async def _claim_checks(self, count: FaultCount) -> None:
        """Images of claim checks that no message can name any more."""
        now = utc_now()
        for folder, hours in self.settings.kafka.image_hours.items():
            async for page in self._objects(f"{folder}/", count):
                old = [one.key for one in page if one.written_at < now - timedelta(hours=hours)]
                count.found += len(old)
                if old and not self.dry_run:
                    await self.stores.crops.delete_many(old)
                    count.repaired += len(old)

    async def _objects(self, prefix: str, count: FaultCount) -> AsyncIterator[list[StoredObject]]:
        async for page in self.stores.crops.pages(prefix):
            count.checked += len(page)
            self.progress(f"objects in {prefix}", count.checked)
            yield page

    def _no_claim_is_open(self) -> AbstractAsyncContextManager[bool]:
        return self.stores.records.no_claim_is_open(self.settings.maintenance.quiet_wait)

    @property
    def _batch(self) -> int:
        return self.settings.maintenance.batch
