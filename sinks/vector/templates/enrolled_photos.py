"""The photos behind a gallery, for those who look for mistakes among them."""

from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt

from domain.store_rows import Embedding
from sinks.vector.gallery_reader import HEAD
from sinks.vector.vector_database import VectorDatabase
from sinks.vector.vector_format import decode_vectors

#: Rows that are read at a time, and the time that the first of them may take, in seconds.
_PAGE = 10_000
_READ_SECONDS = 60.0

# Photos of users who are out of the gallery, as those who are deactivated, decide nothing.
PHOTOS = """
SELECT face_id, user_id, weight, vector_send(embedding) AS data
FROM face_embeddings AS photo
WHERE model = $1 AND kind = 'template' AND set_aside_at IS NULL AND EXISTS (
    SELECT FROM gallery
    WHERE user_id = photo.user_id AND model = $1 AND embedding IS NOT NULL)
ORDER BY user_id, face_id
"""

COUNT_PHOTOS = """
SELECT COALESCE(sum(photos), 0)::bigint FROM gallery WHERE model = $1 AND embedding IS NOT NULL
"""


@dataclass(frozen=True, slots=True, eq=False)
class GalleryPhotos:
    """The photos of the users in a gallery, by user; N in all.

    Attributes:
        face_ids: of each photo.
        user_ids: whose each one is.
        embeddings: float32 (N, dimension) of length 1.
        weights: (N,); how much each one counts in its user's template.
    """

    face_ids: list[UUID]
    user_ids: list[UUID]
    embeddings: Embedding
    weights: npt.NDArray[np.float64]


class EnrolledPhotos(VectorDatabase):
    """Reads photos; changes nothing."""

    async def count_photos(self, model: str) -> int:
        """Number of photos of the users in a model's gallery."""
        async with self._connection("count photos") as connection:
            return int(await connection.fetchval(COUNT_PHOTOS, model))

    async def gallery_photos(self, model: str) -> GalleryPhotos:
        """The photos of the users in a model's gallery, as of one moment.

        Args:
            model: id of the embedder; of one that is not set up there are none.
        """
        face_ids: list[UUID] = []
        user_ids: list[UUID] = []
        weights: list[float] = []
        parts: list[Embedding] = []
        async with (
            self._connection("read the photos of the gallery") as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            head = await connection.fetchrow(HEAD, model)
            dimension = 0 if head is None else head["dimension"]
            pages = connection.pages(PHOTOS, model, size=_PAGE, timeout=_READ_SECONDS)
            async for records in pages:
                face_ids += [record["face_id"] for record in records]
                user_ids += [record["user_id"] for record in records]
                weights += [record["weight"] for record in records]
                parts.append(decode_vectors([record["data"] for record in records], dimension))
        embeddings = np.concatenate(parts) if parts else np.empty((0, dimension), np.float32)
        return GalleryPhotos(face_ids, user_ids, embeddings, np.array(weights, np.float64))
