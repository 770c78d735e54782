"""The vetoes as workers read them: which face is not which user."""

from config.settings import DatabaseSettings
from domain.decisions.corrections import Veto
from sinks.postgres.pool import PostgresSink

# Whatever changes in the table changes this sum of hashes. People make the vetoes, so they are few.
FINGERPRINT = """
SELECT concat(count(*), '/', sum(hashtextextended(concat(correction_id, face_id, user_id), 0)))
FROM vetoes WHERE withdrawn_by IS NULL
"""

VETOES = """
SELECT DISTINCT face_id, user_id FROM vetoes WHERE withdrawn_by IS NULL ORDER BY face_id, user_id
"""


class VetoStore(PostgresSink):
    """Reads the vetoes. All methods raise the errors of `sinks.store_errors`."""

    def __init__(self, settings: DatabaseSettings) -> None:
        """Take the settings of the main database; one connection is enough."""
        super().__init__(settings.model_copy(update={"pool_min": 0, "pool_max": 1}), "main")

    async def fingerprint(self) -> str:
        """A text that changes whenever the vetoes do."""
        async with self._connection("look for vetoes") as connection:
            found: str = await connection.fetchval(FINGERPRINT)
        return found

    async def vetoes(self) -> list[Veto]:
        """All vetoes that stand, each once."""
        async with self._connection("read vetoes") as connection:
            records = await connection.fetch(VETOES)
        return [Veto(**dict(record)) for record in records]
