"""Faces without a crop of their own, and the face of their track whose crop stands for each.

What is stored is one step: ``best_face_id`` names a face of the same track with a crop of its own,
or the face itself where there is none.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from domain.store_rows import EventResult, FaceRow

if TYPE_CHECKING:
    from collections.abc import Collection

    from sinks.postgres.checked_connection import Session

# RETURNING gives the new row; the old key comes from the row as it was before the statement.
_FORGET = """
UPDATE faces SET crop_key = NULL
FROM (
    SELECT id, crop_key FROM faces WHERE crop_key IS NOT NULL AND id IN ({best})
    ORDER BY id FOR NO KEY UPDATE
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
    """For each face without a crop, the face that stands for it, as far as these results lead.

    A frame may be detected twice, the second time by a worker whose tracks have other names, and of
    the two the result that comes first is stored. So a face stands only for faces of its own track;
    a face that no other stands for is its own best face, without a crop.
    """
    faces = {face.match.face_id: face for result in results for face in result.faces}
    return {
        face_id: _best(face, faces)
        for face_id, face in faces.items()
        if face.best_face_id is not None
    }


def _best(face: FaceRow, faces: Mapping[UUID, FaceRow]) -> UUID:
    own = face.match.face_id
    passed = {own}
    while (best := face.best_face_id) is not None:
        following = faces.get(best)
        if following is None:
            return best  # of an earlier result, which the commit looks up
        if following.match.track_id != face.match.track_id or best in passed:
            return own  # no worker of ours makes a circle
        passed.add(best)
        face = following
    return face.match.face_id
