"""Follows the table of embedders: which one decides, and when its similarities are a match."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic

from agents.galleries import Galleries
from agents.polling import poll
from config.settings import ModelSettings
from domain.decisions.matching import MatchPolicy
from domain.decisions.model_change import (
    ModelsNow,
    ModelState,
    StoredModel,
    models_now,
    served_policy,
)
from domain.failures import Fatal, Reject, Retry
from ml.runtime.model_registry import match_policy
from sinks.main.models.model_store import ModelStore

#: Announces which embedder decides; raises `Retry` or `Reject`.
Announce = Callable[[ModelsNow], Awaitable[None]]

#: What is announced again after so many seconds without a change: for workers that start, on a
#: topic that forgets.
_REPEAT_SECONDS = 60.0


class ModelWatch:
    """What this worker knows of the embedders."""

    def __init__(
        self,
        models: ModelStore,
        galleries: Galleries,
        settings: ModelSettings,
        *,
        poll: float,
        announce: Announce | None = None,
    ) -> None:
        """Follow this table.

        Args:
            models: the table.
            galleries: this worker's copies, which are loaded before a model decides.
            settings: what counts where the table says nothing.
            poll: seconds between two looks.
            announce: is called with each change, and now and then; None: another worker does it.
        """
        self._models = models
        self._galleries = galleries
        self._settings = settings
        self._poll = poll
        self._announce = announce
        self._known: Mapping[str, StoredModel] = {}
        self._announced: tuple[ModelsNow, float] | None = None

    def shadows(self) -> Sequence[StoredModel]:
        """The embedders that do not decide, and are not retired."""
        return [one for one in self._known.values() if one.state is ModelState.SHADOW]

    def policy(self, model: str) -> MatchPolicy:
        """When similarities of a model are a match: as it was served with, else as is set."""
        return served_policy(self._known.get(model), match_policy(model, self._settings))

    async def load(self) -> Sequence[StoredModel]:
        """Read the table, and load what may decide.

        Raises:
            StoreUnavailable: a database is unavailable.
        """
        models = await self._models.models()
        for one in models:
            if one.state is not ModelState.RETIRED and self._known.get(one.id) != one:
                await self._galleries.get(one.id, one.dimension)
                await self._galleries.refresh(one.id)
        self._known = {one.id: one for one in models}
        return models

    async def look(self) -> None:
        """`load`, and announce a change.

        Raises:
            Retry: a database is unavailable, or the broker did not accept the announcement.
            Reject: the broker will never accept it.
            Fatal: this worker has no permission to announce.
        """
        models = await self.load()
        now = models_now(models)
        if now is not None and self._announce is not None and self._is_due(now):
            await self._announce(now)
            self._announced = (now, monotonic())

    async def follow(self) -> None:
        """Look until cancelled, also after an outage."""
        await poll(self.look, self._poll, "following the models", (Retry, Reject, Fatal))

    def _is_due(self, now: ModelsNow) -> bool:
        if self._announced is None or self._announced[0] != now:
            return True
        return monotonic() - self._announced[1] >= _REPEAT_SECONDS
