"""Personal data in the object store: crops of faces, and photos sent in to enrol a user."""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import ClassVar

from domain.object_keys import CROPS, FRAMES, SNAPSHOTS, UPLOADS, name_of_picture, uploaded_key
from domain.personal_data import Cutoffs, DataSubject, FacePart, FaceParts, References, Traces
from sinks.objects.bucket import Bucket


class ObjectErasure(Bucket, FaceParts):
    """Finds and deletes what the bucket has of a user, and what no row names.

    Only the main database knows whose an object is: it gives the references.
    """

    receipt_name = "s3"
    erased_places: ClassVar = {
        CROPS: "crops of enrolled faces and of sightings are deleted",
        SNAPSHOTS: "snapshots that show the user are deleted",
        UPLOADS: "photos sent in to enrol the user are deleted",
    }
    kept_places: ClassVar = {
        FRAMES: "it is unknown whom a frame shows; the reconciler deletes frames by age",
    }

    async def traces(self, user: DataSubject) -> Traces:
        """Crops, snapshots and photos of a user, among those that other stores know of."""
        crops, photos = await self._of(user.known)
        return _traces(crops, await self.existing(user.known.snapshot_keys), photos)

    async def erase(self, user: DataSubject) -> Traces:
        """Delete a user's crops, snapshots and photos, among those that other stores know of."""
        crops, photos = await self._of(user.known)
        snapshots = await self.existing(user.known.snapshot_keys)
        await self.delete_many([*crops, *snapshots, *photos])
        return _traces(crops, snapshots, photos)

    async def expire(self, before: Cutoffs) -> Traces:
        """Delete the crops and snapshots whose rows were too old."""
        crops, snapshots = before.known.crop_keys, before.known.snapshot_keys
        await self.delete_many([*crops, *snapshots])
        return Traces({"crops": len(crops), "pictures of snapshots": len(snapshots)})

    async def face_parts(self, before: datetime, limit: int) -> AsyncIterator[Sequence[FacePart]]:
        """Crops, in pages of a thousand at most; objects with other names are left alone."""
        async for page in self.pages(CROPS):
            old = [one.key for one in page if one.written_at < before]
            parts = [
                FacePart(face_id, "crop", key) for key in old if (face_id := name_of_picture(key))
            ]
            for start in range(0, len(parts), limit):
                yield parts[start : start + limit]

    async def discard(self, parts: Sequence[FacePart]) -> None:
        """Delete crops."""
        await self.delete_many(one.crop_key for one in parts if one.crop_key)

    async def _of(self, known: References) -> tuple[set[str], set[str]]:
        """Keys of the crops and of the photos that are there."""
        photos = {uploaded_key(dataref, self.bucket) for dataref in known.datarefs}
        for event in known.upload_events:
            async for page in self.pages(f"{UPLOADS}{event}"):
                photos.update(one.key for one in page)
        named = (key for key in photos if key)
        return await self.existing(known.crop_keys), await self.existing(named)


def _traces(crops: Collection[str], snapshots: Collection[str], photos: Collection[str]) -> Traces:
    return Traces(
        {
            "crops": len(crops),
            "snapshots": len(snapshots),
            "photos by claim check": len(photos),
        }
    )
