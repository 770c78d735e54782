"""The reconciler: finds what a crash between two stores has left behind, and repairs it.

It goes through each store in pages. Data that is younger than the grace period counts as work in
progress. Age alone is not enough, because a frame may be delivered again whose crop is an hour old:
so everything is checked again before it is deleted, while no worker has a claim
(`sinks.main.main_maintenance.MainUpkeep.no_claim_is_open`). A second run finds nothing.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from agents.identify.match_events import matches_of, outgoing
from config.observability import metrics
from config.settings import Settings
from domain.events import utc_now
from infra.maintenance import checks
from infra.maintenance.faults import Fault, FaultCount
from infra.maintenance.maintenance_stores import Progress, UpkeepStores, publishing
from sinks.main.main_maintenance import Unannounced
from sinks.objects.crops import StoredObject
from sinks.vector.deactivation import align_suspension
from sinks.vector.vector_maintenance import StoredEmbedding
from streams.clients.durable_producer import Publisher
from streams.contract.topics import Topics

_FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Reconciler:
    """One run over all stores.

    Attributes:
        stores: all four.
        settings: batches, grace, retention of the topics.
        dry_run: check, and change nothing.
        progress: called with the progress.
    """

    stores: UpkeepStores
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
        await self._crops(before, counts[Fault.CROP_WITHOUT_ROW])
        await self._embeddings(before, counts)
        await self._rows(before, counts)
        await self._suspensions(counts[Fault.WRONG_SUSPENSION])
        await self._means(counts[Fault.WRONG_MEAN])
        await self._unannounced(before, counts[Fault.NOT_ANNOUNCED])
        await self._claim_checks(counts[Fault.OLD_CLAIM_CHECK])
        for count in counts.values():
            metrics.FAULTS_FOUND.labels(fault=count.fault.value).inc(count.found)
            metrics.FAULTS_REPAIRED.labels(fault=count.fault.value).inc(count.repaired)
        return list(counts.values())

    async def _crops(self, before: datetime, count: FaultCount) -> None:
        async for page in self._objects("crops/", count):
            old = checks.crops_by_face(page, before)
            if not old:
                continue
            orphans = checks.without_row(old, await self.stores.main.crop_keys(old))
            count.found += len(orphans)
            if orphans and not self.dry_run:
                count.repaired += await self._delete_crops(orphans)

    async def _delete_crops(self, orphans: dict[UUID, set[str]]) -> int:
        async with self._no_claim_is_open() as alone:
            if not alone:
                return 0
            still = checks.without_row(orphans, await self.stores.main.crop_keys(orphans))
            await self.stores.crops.delete_many(key for keys in still.values() for key in keys)
        return len(still)

    async def _embeddings(self, before: datetime, counts: dict[Fault, FaultCount]) -> None:
        kinds = {
            "sighting": counts[Fault.SIGHTING_WITHOUT_ROW],
            "template": counts[Fault.TEMPLATE_WITHOUT_ROW],
        }
        last = (_FIRST, "")
        while page := await self.stores.vectors.embeddings_after(last, before, self._batch):
            last = (page[-1].face_id, page[-1].model)
            rows = await self.stores.main.crop_keys([one.face_id for one in page])
            orphans = [one for one in page if one.face_id not in rows]
            for one in page:
                kinds[one.kind].checked += 1
            for one in orphans:
                kinds[one.kind].found += 1
            if orphans and not self.dry_run:
                for kind, number in (await self._delete_embeddings(orphans)).items():
                    kinds[kind].repaired += number
            self.progress("embeddings", sum(count.checked for count in kinds.values()))

    async def _delete_embeddings(self, orphans: Sequence[StoredEmbedding]) -> dict[str, int]:
        async with self._no_claim_is_open() as alone:
            if not alone:
                return {}
            rows = await self.stores.main.crop_keys([one.face_id for one in orphans])
            still = [one for one in orphans if one.face_id not in rows]
            seen = [one.face_id for one in still if one.kind == "sighting"]
            enrolled = [one.face_id for one in still if one.kind == "template"]
            await self.stores.vectors.delete_sightings(seen)
            for face_id in enrolled:
                await self.stores.vectors.remove_template(face_id)
        return {"sighting": len(seen), "template": len(enrolled)}

    async def _rows(self, before: datetime, counts: dict[Fault, FaultCount]) -> None:
        """A row whose crop or embedding is gone cannot get it back; it can stop promising it."""
        crops, embeddings = counts[Fault.ROW_WITHOUT_CROP], counts[Fault.ROW_WITHOUT_EMBEDDING]
        last = _FIRST
        while page := await self.stores.main.faces_after(last, before, self._batch):
            last = page[-1].id
            there = await self.stores.vectors.there([face.id for face in page])
            lost = await self.stores.main.not_yet_lost({face.id for face in page} - there)
            missing = await checks.without_crop(self.stores.crops, page)
            # Every deletion of a face deletes its row last; check whether it still exists.
            still = await self.stores.main.crop_keys([*lost, *(face.id for face in missing)])
            lost &= still.keys()
            missing = [face for face in missing if still.get(face.id) == face.crop_key]
            crops.checked += len(page)
            embeddings.checked += len(page)
            crops.found += len(missing)
            embeddings.found += len(lost)
            if not self.dry_run:
                crops.repaired += await self.stores.main.forget_crops(missing)
                embeddings.repaired += await self.stores.main.note_lost(lost)
            self.progress("rows", crops.checked)

    async def _suspensions(self, count: FaultCount) -> None:
        """Deactivated users are in no gallery, and all other users are."""
        last = _FIRST
        while page := await self.stores.vectors.standing_after(last, self._batch):
            last = max(page)
            users = await self.stores.main.users(page)
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
        async with self.stores.main.held_user(user_id) as is_active:
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
                        await self.stores.vectors.mend_mean(model, person)
                        count.repaired += 1
                self.progress("people", count.checked)

    async def _unannounced(self, before: datetime, count: FaultCount) -> None:
        page = await self.stores.main.unannounced(before, None, self._batch)
        if not page:
            return
        if self.dry_run:
            while page:
                count.found += len(page)
                page = await self.stores.main.unannounced(before, page[-1], self._batch)
        else:
            async with publishing(self.settings) as publisher:
                while page:
                    await self._announce(page, publisher, count)
                    page = await self.stores.main.unannounced(before, page[-1], self._batch)
        count.checked = count.found

    async def _announce(
        self, page: Sequence[Unannounced], publisher: Publisher, count: FaultCount
    ) -> None:
        """Announce under the events' claim: no worker is about to do so at the same time."""
        topics = Topics(self.settings.kafka.topic_prefix)
        async with self.stores.main.claim([one.key for one in page]) as claim:
            rows = [row for row in claim.settled.values() if not row.announced]
            found = [match for row in rows for match in await matches_of(self.stores.main, row)]
            await publisher.send_all([outgoing(match, topics) for match in found])
            await self.stores.main.mark_announced((row.event_uuid, row.model) for row in rows)
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
        return self.stores.main.no_claim_is_open(self.settings.maintenance.quiet_wait)

    @property
    def _batch(self) -> int:
        return self.settings.maintenance.batch
