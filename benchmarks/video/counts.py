"""What a deployment has done: faces, embeddings, matches, and frames that were not looked at."""

from typing import NamedTuple, Self

import asyncpg

from benchmarks.load.worker_metrics import total
from benchmarks.system.servers import Consumer

_FACES = "SELECT count(*) AS faces, count(user_id) AS matched FROM faces"
_EMBEDDED = "SELECT count(*) FROM face_embeddings WHERE kind = 'sighting'"
_UNCHANGED = "fecapass_frames_unchanged"


class Counts(NamedTuple):
    """Rows of the stores, and a counter of the workers.

    Attributes:
        faces: all faces of frames.
        matched: those with a user.
        embedded: those with an embedding of their own.
        unchanged: frames that no detector saw, because they show what the one before showed.
    """

    faces: int
    matched: int
    embedded: int
    unchanged: int

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
        unchanged = round(await total(consumer, _UNCHANGED))
        return cls(row["faces"], row["matched"], embedded, unchanged)

    def since(self, before: Self) -> "Counts":
        """What was added."""
        return Counts(*(new - old for new, old in zip(self, before, strict=True)))

    def values(self, frames: int) -> dict[str, float]:
        """As results have them: faces a frame, and shares of the faces and of the frames."""
        faces = max(self.faces, 1)
        return {
            "faces_per_frame": self.faces / frames,
            "embedded_share": self.embedded / faces,
            "matched_share": self.matched / faces,
            "unchanged_share": self.unchanged / frames,
        }
