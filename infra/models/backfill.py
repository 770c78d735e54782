"""Embeds stored faces with a further model, from their crops.

What is done is in the stores, so that an interrupted run goes on where it ended.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Literal
from uuid import UUID

import numpy as np

from domain.arrays import Image
from domain.images.image_errors import ImageRejected
from domain.store_rows import Embedding, Sighting
from ml.images.decoding import ImageLimits, decode
from ml.recognition.embedders import Embedder
from ml.recognition.kept_faces import KeptFace, aligned_again
from sinks.main.models.enrolled_faces import KeptFaceRow
from sinks.store_errors import StoreRejected
from sinks.stores import Stores
from sinks.vector.copied_embeddings import MissingFace

#: Faces whose crops are fetched and embedded together.
BATCH = 32

_FIRST = UUID(int=0)

#: Crops are ours, and small.
_LIMITS = ImageLimits(16 * 1024 * 1024, 4_000_000, 100_000_000)

Kind = Literal["template", "sighting"]

#: Called with the faces done and the faces in all.
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Backfilled:
    """What a run came to.

    Attributes:
        kind: of the faces.
        faces: how many there are in all.
        embedded: by this run.
        present: had an embedding before.
        lost: faces that cannot be embedded again: without a row or a readable crop.
        lost_users: users with such a template.
    """

    kind: Kind
    faces: int = 0
    embedded: int = 0
    present: int = 0
    lost: int = 0
    lost_users: tuple[UUID, ...] = ()


class Backfill:
    """Embeds what a model lacks."""

    def __init__(self, stores: Stores, embedder: Embedder, rate: float, progress: Progress) -> None:
        """Prepare.

        Args:
            stores: where faces, crops and embeddings are.
            embedder: the model.
            rate: most faces a second, so that workers keep the stores; 0: no limit.
            progress: is called with how far it is.
        """
        self._stores = stores
        self._embedder = embedder
        self._rate = rate
        self._progress = progress

    async def run(self, kind: Kind, since: datetime | None = None) -> Backfilled:
        """Embed all faces of a kind that the model lacks.

        Args:
            kind: ``template`` or ``sighting``.
            since: only captured at this moment or later.

        Raises:
            StoreUnavailable: a store is unavailable; a later run does the rest.
        """
        model, vectors = self._embedder.id, self._stores.vectors
        await vectors.ensure_model(model, self._embedder.dimension)
        before = await vectors.coverage(model, kind, since)
        done = Backfilled(kind, before.faces, present=before.embedded)
        lost_users: set[UUID] = set()
        began, seen = monotonic(), 0
        self._progress(before.embedded, before.faces)
        async for faces in self._missing(kind, since):
            embeddings = await self._embedded(faces)
            done.embedded += await self._write(kind, faces, embeddings)
            missing = [one for one in faces if embeddings.get(one.face_id, ()) is None]
            done.lost += len(missing)
            lost_users |= {one.user_id for one in missing if one.user_id is not None}
            seen += len(faces)
            self._progress(min(before.embedded + seen, before.faces), before.faces)
            if self._rate:
                await asyncio.sleep(max(0.0, seen / self._rate - (monotonic() - began)))
        done.lost_users = tuple(sorted(lost_users)) if kind == "template" else ()
        return done

    async def _missing(
        self, kind: Kind, since: datetime | None
    ) -> AsyncIterator[Sequence[MissingFace]]:
        last = _FIRST
        while True:
            faces = await self._stores.vectors.missing(self._embedder.id, kind, last, BATCH, since)
            if not faces:
                return
            last = faces[-1].face_id
            yield faces

    async def _embedded(self, faces: Sequence[MissingFace]) -> dict[UUID, Embedding | None]:
        """The embeddings of faces by id.

        None of one that has nothing to embed; nothing of one whose photo is enrolled with the
        model as another face.
        """
        rows = await self._stores.records.kept_faces(
            [one.face_id for one in faces], self._embedder.id
        )
        wanted = [one.face_id for one in faces if not _is_there(rows.get(one.face_id))]
        crops = await asyncio.gather(*(self._crop(rows.get(face_id)) for face_id in wanted))
        return await asyncio.to_thread(self._embed, dict(zip(wanted, crops, strict=True)))

    async def _crop(self, row: KeptFaceRow | None) -> tuple[KeptFaceRow, bytes] | None:
        if row is None or row.crop_key is None:
            return None
        try:
            return row, await self._stores.crops.get(row.crop_key)
        except StoreRejected:
            return None

    def _embed(
        self, crops: dict[UUID, tuple[KeptFaceRow, bytes] | None]
    ) -> dict[UUID, Embedding | None]:
        aligned = {
            face_id: None if one is None else _aligned(*one) for face_id, one in crops.items()
        }
        there = [face_id for face_id, one in aligned.items() if one is not None]
        embeddings = self._embedder.embed([one for one in aligned.values() if one is not None])
        return dict.fromkeys(aligned) | dict(zip(there, embeddings, strict=True))

    async def _write(
        self,
        kind: Kind,
        faces: Sequence[MissingFace],
        embeddings: dict[UUID, Embedding | None],
    ) -> int:
        """Write embeddings; returns how many faces have one now that had none."""
        model, vectors = self._embedder.id, self._stores.vectors
        found = {face_id: one for face_id, one in embeddings.items() if one is not None}
        if kind == "template":
            added = [
                await vectors.copy_template(face_id, model, one) for face_id, one in found.items()
            ]
            return sum(added)
        sightings = [
            Sighting(
                face_id=one.face_id,
                user_id=one.user_id,
                embedding=found[one.face_id],
                captured_at=one.captured_at,
            )
            for one in faces
            if one.face_id in found
        ]
        await vectors.add_sightings(model, sightings)
        return len(sightings)


def _is_there(row: KeptFaceRow | None) -> bool:
    return row is not None and row.is_enrolled


def _aligned(row: KeptFaceRow, data: bytes) -> Image | None:
    try:
        crop = decode(data, _LIMITS)
    except ImageRejected:
        return None
    return aligned_again(
        KeptFace(crop, np.array(row.box, np.float32), np.array(row.landmarks, np.float32))
    )
