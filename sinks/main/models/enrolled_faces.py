"""What is kept of faces, for those who embed them again."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from domain.store_rows import Landmarks
from sinks.postgres.pool import PostgresSink

# A photo that was enrolled with the model by another face of the same event counts there already.
KEPT_FACES = """
SELECT id, crop_key, box, landmarks, EXISTS (
    SELECT FROM faces AS other
    WHERE other.event_uuid = face.event_uuid AND other.model = $2 AND other.kind = 'enrolled'
) AS is_enrolled
FROM faces AS face WHERE id = ANY($1::uuid[])
"""


@dataclass(frozen=True, slots=True)
class KeptFaceRow:
    """A face with a crop of its own.

    Attributes:
        face_id: the face.
        crop_key: S3 key of its crop; None where that was deleted.
        box: x, y, width, height in pixels of the upright image.
        landmarks: five points, x and y each, in pixels of the upright image.
        is_enrolled: whether its photo was enrolled with the model that was asked for.
    """

    face_id: UUID
    crop_key: str | None
    box: tuple[float, float, float, float]
    landmarks: Landmarks
    is_enrolled: bool


class EnrolledFaces(PostgresSink):
    """Reads faces; changes nothing."""

    async def kept_faces(self, face_ids: Collection[UUID], model: str) -> dict[UUID, KeptFaceRow]:
        """Those of these faces that have a row, by id.

        Args:
            face_ids: any number.
            model: id of the embedder that is to embed them.
        """
        async with self._connection("read faces to embed again") as connection:
            records = await connection.fetch(KEPT_FACES, list(face_ids), model)
        return {
            record["id"]: KeptFaceRow(
                record["id"],
                record["crop_key"],
                tuple(record["box"]),
                tuple(record["landmarks"]),
                record["is_enrolled"],
            )
            for record in records
        }
