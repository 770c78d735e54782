"""``fecapass init-db``: prepare the servers."""

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries

#: Length of SFace's embeddings (Zhong et al., 2021).
_SFACE_DIMENSION = 128


def init_db() -> None:
    """Create what is missing: databases, tables, the pgvector extension, topics, the bucket.

    Every step checks first and says what it did, so you can repeat the command at any time. Run it
    after every update of Fecapass: it applies the migrations.

    It creates the tables for embeddings of the built-in model. For your own model, the identify
    worker creates them when the first face arrives.
    """
    import asyncio

    from config.settings import Settings, load_settings
    from infra.database.init_db import initialise
    from ml.runtime.model_registry import embedder_id
    from sinks.store_errors import StoreRejected, StoreUnavailable

    quiet_libraries()
    settings = load_settings(Settings)
    builtin = settings.models.embedder == "sface"
    models = [(embedder_id(settings.models), _SFACE_DIMENSION)] if builtin else []
    try:
        asyncio.run(initialise(settings, models, typer.echo))
    except (StoreUnavailable, StoreRejected) as error:
        raise CommandFailed(str(error)) from error
