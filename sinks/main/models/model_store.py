"""The table of embedders, as workers read it."""

import msgspec

from config.settings import DatabaseSettings
from domain.decisions.model_change import EmbedderFile, StoredModel
from sinks.postgres.pool import PostgresSink

MODELS = """
SELECT id, kind, sha256, mean, deviation, mirror, dimension, state, added_at, changed_at, served_at,
       threshold, margin
FROM models ORDER BY added_at, id
"""

SERVING = "SELECT id FROM models WHERE state = 'serving'"

_FILE = ("kind", "sha256", "mean", "deviation", "mirror")


class ModelStore(PostgresSink):
    """Reads the table of embedders. All methods raise the errors of `sinks.store_errors`."""

    def __init__(self, settings: DatabaseSettings) -> None:
        """Take the settings of the main database; one connection is enough."""
        super().__init__(settings.model_copy(update={"pool_min": 0, "pool_max": 1}), "main")

    async def models(self) -> list[StoredModel]:
        """All embedders, the first added first."""
        async with self._connection("read the models") as connection:
            records = await connection.fetch(MODELS)
        return [_model({**record}) for record in records]

    async def serving(self) -> str | None:
        """Id of the embedder that serves; None where the settings decide."""
        async with self._connection("read which model serves") as connection:
            served: str | None = await connection.fetchval(SERVING)
        return served


def _model(fields: dict[str, object]) -> StoredModel:
    file = msgspec.convert({name: fields.pop(name) for name in _FILE}, EmbedderFile)
    return msgspec.convert({**fields, "file": file}, StoredModel)
