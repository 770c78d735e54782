"""Users and faces in all stores, for the tests of reconciler, retention and erasure."""

from dataclasses import dataclass

import numpy as np
from msgspec import structs

from config.settings import Settings
from domain.object_keys import crop_key, snapshot_key
from domain.store_rows import Sighting
from infra.maintenance.maintenance_stores import MaintenanceStores
from infra.maintenance.reconcile import Reconciler
from sinks.main.main_store import Records
from sinks.objects.crops import Crops
from sinks.stores import opened
from sinks.vector.vector_store import Vectors
from tests.contract.builders import a_result, a_vector, an_event, unique
from tests.stored_records import commit_results, stored_user

DIMENSION = 8


def young(prepared: Settings, **changes) -> Settings:
    """Settings with a grace period of 0, so that data of a test are old enough at once."""
    maintenance = prepared.maintenance.model_copy(update={"grace": 0.0, "batch": 3} | changes)
    return prepared.model_copy(update={"maintenance": maintenance})


def short_lived(settings: Settings) -> Settings:
    """Settings by which every message, and so every claim check, has expired."""
    names = ("frames_retention_hours", "uploads_retention_hours", "dead_letter_retention_hours")
    kafka = settings.kafka.model_copy(update=dict.fromkeys(names, 1e-4))
    return settings.model_copy(update={"kafka": kafka})


async def reconcile(settings: Settings, *, dry_run=False):
    async with opened(MaintenanceStores.of(settings)) as stores:
        counts = await Reconciler(stores, settings, dry_run, lambda *_: None).run()
    return {count.fault: (count.found, count.repaired) for count in counts}


def the_result(event, model, *, user_id=None):
    """A result with one face and the key of its crop in S3."""
    result = a_result(event, 1, user_id, model=model)
    (row,) = result.faces
    key = crop_key(event.key, event.captured_at, row.match.face_id)
    match = structs.replace(row.match, crop_key=key)
    return structs.replace(result, faces=(structs.replace(row, match=match),))


def with_snapshot(result):
    """The result with the key of its whole frame."""
    event = result.event
    key = snapshot_key(event.key, event.captured_at, event.uuid)
    return structs.replace(result, snapshot_key=key)


def followed(result, best):
    """The result with its one face followed from another face, whose crop stands for it."""
    (row,) = result.faces
    match = structs.replace(row.match, crop_key=best.crop_key, track_id=best.track_id, fresh=False)
    row = structs.replace(row, match=match, best_face_id=best.face_id)
    return structs.replace(result, faces=(row,))


@dataclass
class StoredData:
    """The stores, and a model that only one test uses."""

    prepared: Settings
    records: Records
    vectors: Vectors
    crops: Crops
    model: str
    rng: np.random.Generator

    def a_vector(self):
        return a_vector(self.rng, DIMENSION)

    async def a_user(self):
        return (await stored_user(self.records, f"{unique('u')}@example.org")).id

    async def gallery(self):
        return {one.user_id: one.embedding for one in await self.vectors.changes(self.model, 0)}

    async def a_face(self, *, without=()):
        """A face in all stores, except in those of ``without``."""
        event = an_event()
        result = the_result(event, self.model)
        match = result.faces[0].match
        if "crop" not in without:
            await self.crops.put(match.crop_key, b"jpeg")
        if "embedding" not in without:
            sighting = Sighting(
                face_id=match.face_id,
                user_id=None,
                embedding=self.a_vector(),
                captured_at=event.captured_at,
            )
            await self.vectors.add_sightings(self.model, [sighting])
        if "row" not in without:
            await commit_results(self.records, [result])
            if "announcement" not in without:
                await self.records.mark_announced([result.key])
        return match
