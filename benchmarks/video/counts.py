"""What the stores of a deployment hold: faces, how many were embedded, how many were matched."""

from typing import NamedTuple, Self

import asyncpg

from benchmarks.system.servers import Consumer

_FACES = "SELECT count(*) AS faces, count(user_id) AS matched FROM faces"
_EMBEDDED = "SELECT count(*) FROM face_embeddings WHERE kind = 'sighting'"


class Counts(NamedTuple):
    """Rows of the stores.

    Attributes:
        faces: all faces of frames.
        matched: those with a user.
        embedded: those with an embedding of their own.
    """

    faces: int
    matched: int
    embedded: int

    @classmethod
    async def of(cls, consumer: Consumer) -> Self:
        """What there is now."""
        main = await asyncpg.connect(consumer.settings.main_db.dsn)
        try:
            (row,) = await main.fetch(_FACES)
        finally:
            await main.close()
        vectors = await asyncpg.connect(consumer.settings.vector_db.dsn)
        try:
            embedded = await vectors.fetchval(_EMBEDDED)
        finally:
            await vectors.close()
        return cls(row["faces"], row["matched"], embedded)

    def since(self, before: Self) -> "Counts":
        """What was added."""
        return Counts(*(new - old for new, old in zip(self, before, strict=True)))

    def values(self, frames: int) -> dict[str, float]:
        """As results have them: faces a frame; of the faces, the shares embedded and matched."""
        faces = max(self.faces, 1)
        return {
            "faces_per_frame": self.faces / frames,
            "embedded_share": self.embedded / faces,
            "matched_share": self.matched / faces,
        }
