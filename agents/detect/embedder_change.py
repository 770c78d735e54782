"""Has the embedder that is announced decide, and loads those that may be the next ones."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import monotonic

from agents.model_files import settings_for
from config.settings import ModelSettings
from domain.decisions.model_change import EmbedderFile, ModelsNow
from domain.failures import Retry
from domain.images.image_errors import ModelError, ProviderUnavailable
from ml.recognition.embedders import Embedder
from ml.recognition.face_analyser import Analyser, build_embedder
from streams.lifecycle.health_server import Check

logger = logging.getLogger(__name__)

# Seconds between two tries to load a model.
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 120.0

#: The path of a model's file on this machine; None for the built-in one.
FetchFile = Callable[[EmbedderFile], Awaitable[Path | None]]

#: Takes the analyser that decides, and the other embedders.
Serve = Callable[[Analyser, Sequence[Embedder]], None]


class EmbedderChange:
    """Follows what is announced.

    A model that cannot be loaded changes nothing: the worker embeds by the one before, whose
    gallery is still there, and its health says so. A worker that has begun with no model that was
    announced does not process anything until it can: its own model may have no templates any more.
    """

    def __init__(
        self, settings: ModelSettings, analyser: Analyser, fetch: FetchFile, serve: Serve
    ) -> None:
        """Begin with the embedder of the settings.

        Args:
            settings: where models run.
            analyser: with the embedder of the settings.
            fetch: finds the files of others.
            serve: is called with each change.
        """
        self._settings = settings
        self._own = analyser
        self._fetch = fetch
        self._serve = serve
        self._loaded: dict[str, Analyser] = {analyser.embedder.id: analyser}
        self._serving = analyser.embedder.id
        self._others: frozenset[str] = frozenset()
        self._now: ModelsNow | None = None
        self._is_ready = True
        self._problem: str | None = None
        self._pause = _FIRST_PAUSE
        self._next_try = 0.0

    async def begin(self, now: ModelsNow) -> None:
        """Do what is announced before the first image; until then, the worker is not ready."""
        self._is_ready = False
        await self.apply(now)

    def require_ready(self) -> None:
        """Return if images can be processed.

        Raises:
            Retry: the embedder that decided when this worker began cannot be loaded.
        """
        if not self._is_ready:
            raise Retry(f"{self._wanted} decides, and cannot be loaded: {self._problem}")

    async def apply(self, now: ModelsNow) -> None:
        """Do what is announced, unless something later was."""
        if self._now is not None and now.as_of < self._now.as_of:
            return
        self._now = now
        self._pause, self._next_try = _FIRST_PAUSE, 0.0
        await self.retry()

    async def retry(self) -> None:
        """Load what is not loaded yet, and have the right one decide."""
        now = self._now
        if now is None:
            return
        wanted, problems = self._wanted, {}
        # The one that decides is loaded first, and decides before the others are loaded.
        for model in sorted(now.embedders, key=lambda one: one != wanted):
            if model not in self._loaded:
                try:
                    self._loaded[model] = await self._load(model, now.embedders[model])
                except (ModelError, ProviderUnavailable, Retry) as error:
                    problems[model] = str(error)
            self._change(wanted, now)
        self._change(wanted, now)
        for model, problem in problems.items():
            if self._problem != problem:
                logger.error("model %s cannot be loaded: %s", model, problem)
        self._problem = next(iter(problems.values()), None)

    async def retry_failed(self) -> None:
        """Try again to load what could not be loaded, with backoff: files may be large."""
        if self._problem is not None and monotonic() >= self._next_try:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            self._next_try = monotonic() + self._pause
            await self.retry()

    def checks(self) -> Sequence[Check]:
        """Health: whether the embedder that is announced decides."""
        if self._now is None:
            return ()
        wanted = self._wanted
        if wanted == self._serving:
            return [Check("embedder", True, wanted)]
        instead = f"{self._serving} embeds" if self._is_ready else "nothing is processed"
        return [Check("embedder", False, f"{wanted} is not loaded, {instead}: {self._problem}")]

    @property
    def _wanted(self) -> str:
        """Id of the embedder that should decide."""
        announced = None if self._now is None else self._now.serving
        return announced or self._own.embedder.id

    async def _load(self, model: str, file: EmbedderFile) -> Analyser:
        settings = settings_for(file, await self._fetch(file), self._settings)
        embedder, precision = await asyncio.to_thread(build_embedder, settings)
        if embedder.id != model:
            raise ModelError(f"the file of {model} is that of {embedder.id}")
        logger.info("loaded %s", model)
        return self._own.with_embedder(embedder, precision)

    def _change(self, wanted: str, now: ModelsNow) -> None:
        own = self._own.embedder.id
        if wanted in self._loaded:
            kept = {wanted, own, *now.embedders}
            self._loaded = {model: one for model, one in self._loaded.items() if model in kept}
            self._is_ready = True
        else:
            wanted = self._serving
        others = frozenset(self._loaded.keys() & now.embedders.keys()) - {wanted}
        if (wanted, others) == (self._serving, self._others):
            return
        if wanted != self._serving:
            logger.info("%s decides from now on, and not %s", wanted, self._serving)
        self._serving, self._others = wanted, others
        self._serve(self._loaded[wanted], [self._loaded[one].embedder for one in sorted(others)])
