"""What is at fault among the rows and objects of a page."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from domain.personal_data import FacePart
from sinks.main.main_maintenance import StoredFace
from sinks.objects.crops import Crops


def without_row(parts: Iterable[FacePart], rows: Mapping[UUID, str | None]) -> list[FacePart]:
    """Those parts of faces that no row names; of crops, also where the row names another, or none.

    Args:
        parts: of a store.
        rows: key of the crop that each face's row names, of faces that have one.
    """
    return [
        one
        for one in parts
        if one.face_id not in rows or one.crop_key not in {None, rows[one.face_id]}
    ]


async def without_crop(crops: Crops, page: Sequence[StoredFace]) -> list[StoredFace]:
    """Those faces whose row names a crop that is not there.

    Raises:
        StoreUnavailable: the object store is unavailable.
    """
    there = await crops.existing(face.crop_key for face in page if face.crop_key)
    return [face for face in page if face.crop_key and face.crop_key not in there]
