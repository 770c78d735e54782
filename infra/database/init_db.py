"""Prepares every server for Fecapass: databases, tables, topics, bucket.

Every step looks first and is harmless to repeat; two initialisers at once do not disturb each
other.
"""

from collections.abc import Sequence

from config.settings import Settings
from infra.database.create_topics import ensure_topics
from infra.database.migrate import (
    Report,
    ensure_database,
    ensure_indexes,
    ensure_models,
    ensure_pgvector,
    migrate,
)
from infra.photos.user_addresses import normalise_addresses
from sinks.objects.crops import Crops


async def initialise(settings: Settings, models: Sequence[tuple[str, int]], report: Report) -> None:
    """Do whatever is not done yet.

    Args:
        settings: where the servers are.
        models: id and dimension of each embedder whose embeddings are to be stored.
        report: called for each step, with one line.

    Raises:
        StoreUnavailable: a server is not there or does not permit it; the message is one line
            that names it, without its password.
        StoreRejected: a model is there with another dimension.
    """
    await ensure_database(settings.main_db, report)
    await migrate("main", settings.main_db, report)
    await normalise_addresses(settings.main_db, report)
    await ensure_indexes("main", settings.main_db, report)
    await ensure_database(settings.vector_db, report)
    await ensure_pgvector(settings.vector_db, report)
    await migrate("vector", settings.vector_db, report)
    await ensure_models(settings.vector_db, models, report)
    await ensure_topics(settings.kafka, report)
    async with Crops(settings.s3) as crops:
        made = await crops.ensure_bucket()
    report(f"{'created bucket' if made else 'bucket is there:'} {settings.s3.bucket}")
