"""Faces without a crop of their own, and the face of their track whose crop stands for each.

What is stored is one step: ``best_face_id`` names a face with a crop of its own.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING
from uuid import UUID

from domain.store_rows import EventResult

if TYPE_CHECKING:
    from collections.abc import Collection

    from sinks.postgres.checked_connection import Session

# RETURNING gives the new row; the old key comes from the row as it was before the statement.
_FORGET = """
UPDATE faces SET crop_key = NULL
FROM (
    SELECT id, crop_key FROM faces WHERE crop_key IS NOT NULL AND id IN ({best})
    ORDER BY id FOR UPDATE
) AS before
WHERE faces.id = before.id
RETURNING before.crop_key
"""

FORGET_BEST_CROPS = _FORGET.format(
    best="SELECT COALESCE(best_face_id, id) FROM faces WHERE id = ANY($1::uuid[])"
)

FORGET_BEST_CROPS_OF_USER = _FORGET.format(best="SELECT best_face_id FROM faces WHERE user_id = $1")


async def forget_best_crops(connection: "Session", face_ids: "Collection[UUID]") -> list[str]:
    """Take the crop of each of these faces, or of its best face, out of the rows; their keys."""
    return [row["crop_key"] for row in await connection.fetch(FORGET_BEST_CROPS, list(face_ids))]


def best_faces(results: Iterable[EventResult]) -> dict[UUID, UUID]:
    """The best face of each face without a crop, as far as these results lead.

    A frame may be detected twice, the second time by a worker that has other tracks: then the best
    face of a face may have no crop of its own either, and names another one.
    """
    named = {
        face.match.face_id: face.best_face_id
        for result in results
        for face in result.faces
        if face.best_face_id is not None
    }
    return {face_id: _last(face_id, named) for face_id in named}


def _last(face_id: UUID, named: dict[UUID, UUID]) -> UUID:
    passed = set()
    while face_id in named and face_id not in passed:  # no worker of ours makes a circle
        passed.add(face_id)
        face_id = named[face_id]
    return face_id
