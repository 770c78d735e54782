"""What ``fecapass models`` does with the table of embedders."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from agents.model_files import fetch_file, keep_file, settings_for
from config.settings import ModelSettings, Settings
from domain.decisions.model_change import (
    EmbedderFile,
    ModelChangeError,
    ModelGate,
    ModelState,
    StoredModel,
    served_policy,
)
from domain.events import utc_now
from domain.images.image_errors import ModelError
from infra.models.backfill import Backfill, Backfilled, Progress
from infra.models.detect_workers import workers_without
from infra.models.live_agreement import live_agreement
from infra.models.model_comparison import JudgedModel, ModelReport, compare
from infra.photos.upload_requests import actor
from ml.recognition.face_analyser import build_embedder
from ml.runtime.model_registry import check_file, default_policy, embedder_id, match_policy
from services.model_changes import (
    add_model,
    retire_model,
    serve_model,
    served_before,
    stored_model,
    stored_models,
)
from sinks.main.database_sessions import Databases
from sinks.stores import Stores, opened

BUILTIN = "sface"

#: Users that a message names.
_SHOWN = 20

#: How long detect workers may take to load a model that was added just now.
_LOAD_SECONDS = 10.0

_NO_CHANGE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class ReadEmbedder:
    """An embedder that was loaded.

    Attributes:
        id: as with each of its embeddings.
        file: how it is loaded.
        path: of its file; None for the built-in one.
        dimension: of its embeddings.
    """

    id: str
    file: EmbedderFile
    path: Path | None
    dimension: int


def read_embedder(named: str, settings: ModelSettings, *, mirror: bool) -> ReadEmbedder:
    """Load an embedder, and see what it is.

    Args:
        named: an ArcFace file in ONNX, or "sface".
        settings: where models run, and mean and deviation of the file's input.
        mirror: whether it is to embed the mirror image, too.

    Raises:
        ModelError: it is no such file.
    """
    if named == BUILTIN:
        file, path = EmbedderFile("sface", None, *_NO_CHANGE, mirror), None
    else:
        path, sha256 = check_file(Path(named), None, "embedder")
        mean, deviation = settings.embedder_mean, settings.embedder_deviation
        file = EmbedderFile("arcface", sha256, mean, deviation, mirror)
    embedder, _ = build_embedder(settings_for(file, path, settings))
    return ReadEmbedder(embedder.id, file, path, embedder.dimension)


class ModelTable:
    """The table of embedders, and the stores that they fill."""

    def __init__(self, settings: Settings, databases: Databases, stores: Stores) -> None:
        """Use what `open_table` has opened."""
        self._settings = settings
        self._databases = databases
        self._stores = stores

    async def all(self) -> list[StoredModel]:
        """All embedders, the first added first."""
        async with self._databases.main() as session:
            return await stored_models(session)

    async def add(self, embedder: ReadEmbedder) -> StoredModel:
        """Add an embedder as a shadow, with its file in S3 and room for its embeddings.

        Raises:
            ModelChangeError: it is there with another mean or deviation.
        """
        if embedder.path is not None:
            await keep_file(self._stores.crops, embedder.file, embedder.path)
        await self._stores.vectors.ensure_model(embedder.id, embedder.dimension)
        # Workers that have not read the change yet decide by the row as it was added.
        is_own = embedder.id == await asyncio.to_thread(_own_id, self._settings.models)
        policy = None if is_own else default_policy(embedder.id)
        async with self._databases.main.begin() as session:
            await add_model(
                session,
                actor(),
                embedder.id,
                embedder.file,
                embedder.dimension,
                policy=policy,
            )
        async with self._databases.main() as session:
            return await stored_model(session, embedder.id)

    async def backfill(
        self, model_id: str, *, days: float, rate: float, progress: Progress
    ) -> list[Backfilled]:
        """Embed all templates with a model, and the sightings of the last days.

        Args:
            model_id: of the table.
            days: of sightings; 0: none.
            rate: most faces a second; 0: no limit.
            progress: is called with how far it is.

        Raises:
            ModelChangeError: there is no such model.
            ModelError: it cannot be loaded.
            StoreUnavailable: a store is unavailable.
        """
        async with self._databases.main() as session:
            model = await stored_model(session, model_id)
        models = self._settings.models
        path = await fetch_file(self._stores.crops, model.file, models.cache_dir)
        embedder, _ = build_embedder(settings_for(model.file, path, models))
        run = Backfill(self._stores, embedder, rate, progress)
        done = [await run.run("template")]
        if days:
            done.append(await run.run("sighting", utc_now() - timedelta(days=days)))
        return done

    async def report(self, model_id: str, gate: ModelGate) -> ModelReport:
        """Compare a model with the one that serves, on the enrolled photos of both.

        Args:
            model_id: of the table.
            gate: what it must reach.

        Raises:
            ModelChangeError: it is not in the table, or it is retired or serves, or there is no
                photo that both have embedded.
            ModelError: the embedder of the settings serves, and its file is not here.
            StoreUnavailable: a store is unavailable.
        """
        models = {one.id: one for one in await self.all()}
        new = _usable(models, model_id)
        serving = next((one for one in models.values() if one.state is ModelState.SERVING), None)
        before = (
            serving.id if serving else await asyncio.to_thread(embedder_id, self._settings.models)
        )
        if before == model_id:
            raise ModelChangeError(f"{model_id} serves; a report compares another model with it")
        photos = await self._stores.vectors.templates_of_both(before, model_id)
        if not photos.user_ids:
            raise ModelChangeError(
                f"of {photos.photos} photos that {before} has embedded, {model_id} has embedded "
                f"none; run `fecapass models backfill {model_id}`"
            )
        usual = match_policy(before, self._settings.models).in_gallery(photos.users)
        hours = await self._stores.records.shadow_counts(model_id, before)
        return await asyncio.to_thread(
            compare,
            photos,
            await self._stores.vectors.lost_users(model_id, before),
            JudgedModel(before, served_policy(serving, usual)),
            JudgedModel(model_id, served_policy(new, default_policy(model_id))),
            gate,
            live=live_agreement(hours),
        )

    async def serve(
        self, model_id: str, threshold: float | None, margin: float | None, *, force: bool
    ) -> StoredModel:
        """Have a model decide, if it can for every user and in every detect worker.

        Where the settings decided until now, their embedder is added to the table, so that it can
        serve again.

        Args:
            model_id: of the table.
            threshold: least cosine of a match; None: what the model served with before, or its
                default.
            margin: least lead over the runner-up; None: the same.
            force: serve also where users or workers lack it.

        Raises:
            ModelChangeError: it is not in the table, or it is retired, or users or workers lack it.
            ModelError: the embedder of the settings cannot be loaded here.
            StoreUnavailable: a store is unavailable.
            Retry: the broker is unavailable.
        """
        models = {one.id: one for one in await self.all()}
        _usable(models, model_id)
        serving = next((one for one in models.values() if one.state is ModelState.SERVING), None)
        before = serving.id if serving else await self._add_own()
        if not force and before != model_id:
            # What the workers' settings say is not known here: users of any model count then.
            await self._require_ready(model_id, serving.id if serving else None)
        own = await asyncio.to_thread(embedder_id, self._settings.models)
        if model_id != own and models[model_id].served_at is None:
            default = default_policy(model_id)
            threshold = default.threshold if threshold is None else threshold
            margin = default.margin if margin is None else margin
        async with self._databases.main.begin() as session:
            if serving is None:
                await serve_model(session, actor(), before)
            await serve_model(session, actor(), model_id, threshold=threshold, margin=margin)
        async with self._databases.main() as session:
            return await stored_model(session, model_id)

    async def rollback(self, *, force: bool) -> StoredModel:
        """Have the model decide again that did before; see `serve`."""
        async with self._databases.main() as session:
            before = await served_before(session)
        return await self.serve(before.id, None, None, force=force)

    async def retire(self, model_id: str) -> StoredModel:
        """Embed nothing more with a model.

        Raises:
            ModelChangeError: it is not in the table, or it serves.
        """
        async with self._databases.main.begin() as session:
            await retire_model(session, actor(), model_id)
        async with self._databases.main() as session:
            return await stored_model(session, model_id)

    async def _add_own(self) -> str:
        """Add the embedder of the settings to the table."""
        models = self._settings.models
        named = BUILTIN if models.embedder == "sface" else str(models.embedder_file or "")
        own = await asyncio.to_thread(read_embedder, named, models, mirror=models.embedder_mirror)
        return (await self.add(own)).id

    async def _require_ready(self, model_id: str, before: str | None) -> None:
        lost = await self._stores.vectors.lost_users(model_id, before)
        if lost:
            raise ModelChangeError(
                f"{len(lost)} users have no template of {model_id}: "
                f"{', '.join(map(str, lost[:_SHOWN]))}; run `fecapass models backfill {model_id}`, "
                "or use --force"
            )
        workers = await workers_without(self._settings.kafka, model_id, _LOAD_SECONDS)
        if workers:
            raise ModelChangeError(
                f"detect workers have not loaded {model_id}: {', '.join(workers)}; their logs say "
                "why; or use --force"
            )


def _own_id(settings: ModelSettings) -> str | None:
    """Id of the embedder of the settings; None where its file is not here."""
    try:
        return embedder_id(settings)
    except ModelError:
        return None


def _usable(models: Mapping[str, StoredModel], model_id: str) -> StoredModel:
    if model_id not in models:
        raise ModelChangeError(f"there is no model {model_id}; `fecapass models list` shows them")
    if models[model_id].state is ModelState.RETIRED:
        raise ModelChangeError(f"{model_id} is retired; add it again, and backfill it")
    return models[model_id]


@asynccontextmanager
async def open_table(settings: Settings) -> AsyncIterator[ModelTable]:
    """Connect to the stores.

    Raises:
        StoreUnavailable: one of them is unavailable.
    """
    async with Databases(settings) as databases, opened(Stores.of(settings)) as stores:
        yield ModelTable(settings, databases, stores)
