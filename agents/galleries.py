"""Each worker that recognises faces has its own copy of the gallery and keeps it current.

The same is done for the gallery of unknowns. The templates are stored in pgvector. Every change
there gets the next revision of its model, in commit order, so a copy reads the changes after its
last revision. An erasure is a change whose template is None.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from prometheus_client import Gauge

from agents.polling import poll
from config.observability import metrics
from domain.store_rows import GalleryChange, GalleryChunk
from ml.gallery.exact_search import Gallery
from sinks.store_errors import StoreUnavailable
from streams.lifecycle.health_server import Check
from streams.monitoring.heartbeats import GalleryState

logger = logging.getLogger(__name__)

_PAGE = 1000


class GalleryStore(Protocol):
    """Where the templates are: those of users, or those of unknowns.

    Its methods are those of `sinks.vector.gallery_reader.GalleryReader` and
    `sinks.vector.vector_database.VectorDatabase`.
    """

    async def models(self) -> dict[str, int]:
        """The models that are set up, with the dimension of each."""

    async def ensure_model(self, model: str, dimension: int) -> bool:
        """Set a model up if it is not."""

    async def changes(
        self, model: str, after_revision: int, limit: int = ...
    ) -> list[GalleryChange]:
        """What changed, oldest first."""

    def load(self, model: str) -> AsyncIterator[GalleryChunk]:
        """The whole gallery as of one moment."""


@dataclass(frozen=True, slots=True)
class GalleryOf:
    """Whose templates are in a gallery, for those who watch.

    Attributes:
        name: of the gallery, in checks and logs.
        whose: whose templates they are.
        templates: shows their number.
        age: shows how old the copy is.
    """

    name: str
    whose: str
    templates: Gauge
    age: Gauge


OF_USERS = GalleryOf("gallery", "people", metrics.GALLERY_TEMPLATES, metrics.GALLERY_AGE_SECONDS)
OF_UNKNOWNS = GalleryOf(
    "unknowns", "unknowns", metrics.UNKNOWN_TEMPLATES, metrics.UNKNOWNS_AGE_SECONDS
)


@dataclass(slots=True)
class _Copy:
    """The copy of one model's gallery.

    Attributes:
        gallery: the templates.
        revision: the last change that it contains.
        current_at: when it was last known to be current, seconds of the monotonic clock.
        lock: held by the caller that updates it.
    """

    gallery: Gallery
    revision: int
    current_at: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Galleries:
    """The galleries of all models that this worker has used."""

    def __init__(
        self, vectors: GalleryStore, *, poll: float, max_age: float, of: GalleryOf = OF_USERS
    ) -> None:
        """Copy the galleries of ``vectors``.

        Args:
            vectors: the vector database.
            poll: seconds between two updates.
            max_age: seconds without an update after which a copy is unhealthy.
            of: whose templates they are.
        """
        self._vectors = vectors
        self._of = of
        self._poll = poll
        self._max_age = max_age
        self._copies: dict[str, _Copy] = {}
        self._loading = asyncio.Lock()

    async def load(self) -> None:
        """Load the galleries of all models in the database, before the first face needs one.

        Raises:
            StoreUnavailable: the vector database is unavailable.
        """
        for model, dimension in (await self._vectors.models()).items():
            await self.get(model, dimension)

    async def get(self, model: str, dimension: int) -> Gallery:
        """The gallery of a model.

        A gallery that did not exist at the start is loaded at its first use.

        Raises:
            StoreUnavailable: the vector database is unavailable.
            StoreRejected: the database has the model with another dimension.
        """
        if model not in self._copies:
            async with self._loading:
                if model not in self._copies:
                    self._copies[model] = await self._load(model, dimension)
        return self._copies[model].gallery

    def dimension(self, model: str) -> int | None:
        """Dimension of a model's embeddings; None if this worker has not used the model yet."""
        copy = self._copies.get(model)
        return None if copy is None else copy.gallery.dimension

    def revision(self, model: str) -> int:
        """The last change that the copy of a model contains, which must be loaded."""
        return self._copies[model].revision

    async def refresh(self, model: str) -> int:
        """Load the changes since the last update.

        Returns:
            The revision that the copy has at least.

        Raises:
            StoreUnavailable: the vector database is unavailable.
        """
        copy = self._copies[model]
        async with copy.lock:
            while True:
                asked_at = monotonic()
                changes = await self._vectors.changes(model, copy.revision, _PAGE)
                if changes:
                    await asyncio.to_thread(
                        copy.gallery.apply,
                        [(change.user_id, change.embedding) for change in changes],
                    )
                    copy.revision = changes[-1].revision
                if len(changes) < _PAGE:
                    break
            copy.current_at = asked_at
            revision = copy.revision
        self._note(model, copy)
        return revision

    async def follow(self) -> None:
        """Keep every copy current until cancelled, also after an outage."""
        await poll(self._refresh_all, self._poll, "updating the gallery")

    async def _refresh_all(self) -> None:
        unavailable: StoreUnavailable | None = None
        for model, copy in list(self._copies.items()):
            try:
                await self.refresh(model)
            except StoreUnavailable as error:
                unavailable = error
                self._note(model, copy)
        if unavailable is not None:
            raise unavailable

    def checks(self) -> Sequence[Check]:
        """Health: whether each copy is current."""
        return [
            Check(
                f"{self._of.name} {model}",
                self._age(copy) <= self._max_age,
                f"{len(copy.gallery)} {self._of.whose}, revision {copy.revision}, "
                f"current {self._age(copy):.1f} s ago",
            )
            for model, copy in self._copies.items()
        ]

    def states(self) -> Sequence[GalleryState]:
        """The state of each copy, for heartbeats."""
        return [
            GalleryState(
                model=model, templates=len(copy.gallery), age_seconds=round(self._age(copy), 1)
            )
            for model, copy in self._copies.items()
        ]

    async def _load(self, model: str, dimension: int) -> _Copy:
        began = monotonic()
        await self._vectors.ensure_model(model, dimension)
        copy = _Copy(Gallery(model, dimension), revision=0, current_at=began)
        async for chunk in self._vectors.load(model):
            copy.gallery.reserve(chunk.total)
            await asyncio.to_thread(
                copy.gallery.apply, list(zip(chunk.user_ids, chunk.embeddings, strict=True))
            )
            copy.revision = chunk.revision
        self._note(model, copy)
        logger.info(
            "%s of %s: %d %s, revision %d, loaded in %.1f s",
            self._of.name,
            model,
            len(copy.gallery),
            self._of.whose,
            copy.revision,
            monotonic() - began,
        )
        return copy

    def _note(self, model: str, copy: _Copy) -> None:
        self._of.templates.labels(model=model).set(len(copy.gallery))
        self._of.age.labels(model=model).set(self._age(copy))

    def _age(self, copy: _Copy) -> float:
        return monotonic() - copy.current_at
