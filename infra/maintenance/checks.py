"""What is at fault among the rows and objects of a page."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sinks.main.main_maintenance import StoredFace
from sinks.objects.crops import Crops, StoredObject


def crops_by_face(page: Iterable[StoredObject], before: datetime) -> dict[UUID, set[str]]:
    """The crops that were written before a moment, by the face that their keys end in.

    What has another name is not ours, and is left alone.
    """
    found: dict[UUID, set[str]] = {}
    for key, written_at in page:
        face_id = _face_of(key)
        if face_id is not None and written_at < before:
            found.setdefault(face_id, set()).add(key)
    return found


def without_row(
    crops: Mapping[UUID, set[str]], rows: Mapping[UUID, str | None]
) -> dict[UUID, set[str]]:
    """Those crops that no row names: the face has none, or its row names another crop, or none.

    Args:
        crops: keys of crops by face.
        rows: key of the crop that each face's row names, of faces that have one.
    """
    left = {face_id: keys - {rows.get(face_id)} for face_id, keys in crops.items()}
    return {face_id: keys for face_id, keys in left.items() if keys}


async def without_crop(crops: Crops, page: Sequence[StoredFace]) -> list[StoredFace]:
    """Those faces whose row names a crop that is not there.

    Raises:
        StoreUnavailable: the object store is unavailable.
    """
    named = [face for face in page if face.crop_key]
    there = await asyncio.gather(*(crops.exists(face.crop_key or "") for face in named))
    return [face for face, is_there in zip(named, there, strict=True) if not is_there]


def _face_of(key: str) -> UUID | None:
    name, dot, suffix = key.rpartition("/")[2].rpartition(".")
    if not dot or suffix != "jpg":
        return None
    try:
        face_id = UUID(name)
    except ValueError:
        return None
    return face_id if str(face_id) == name else None
