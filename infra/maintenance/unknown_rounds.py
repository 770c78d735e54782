"""The part of a round of maintenance that is about unknowns: repairs, and the consolidation.

1. what a crash has left between the two databases: merges and promotions that the gallery does not
   have, templates without an unknown, and unknowns without a template
2. unknowns whose visits changed since they were looked at are compared with all: what is certain
   is merged, what is likely is proposed (`domain.decisions.consolidation`)
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np

from agents.galleries import OF_UNKNOWNS, Galleries
from agents.unknowns.visit_evidence import grouping_policy
from config.observability import metrics
from config.settings import Settings
from domain.decisions.consolidation import ConsolidationPolicy, Group, consolidate
from domain.decisions.model_change import served_policy
from domain.events import utc_now
from infra.maintenance.unknown_templates import make_template
from ml.gallery.exact_search import Gallery
from ml.runtime.model_registry import match_policy
from services.model_changes import stored_models
from services.unknowns.followed_templates import UnknownTemplates
from services.unknowns.unknown_grouping import align_exemplars
from sinks.main.database_sessions import Databases
from sinks.main.unknowns.unknown_maintenance import UnknownMaintenance
from sinks.vector.sighting_store import SightingStore
from sinks.vector.unknowns.unknown_gallery import UnknownGallery

_FIRST = UUID(int=0)

#: Unknowns that one is compared with, the most similar ones; and how many are searched at a time.
_NEIGHBOURS = 5
_AT_ONCE = 64


@dataclass(slots=True)
class UnknownsDone:
    """What a round has done.

    Attributes:
        repaired: unknowns whose change the gallery did not have.
        removed: templates without an unknown.
        merged: unknowns that are another one.
        proposed: merges and splits that an operator is asked about.
    """

    repaired: int = 0
    removed: int = 0
    merged: int = 0
    proposed: int = 0


class UnknownRounds:
    """Repairs and consolidates unknowns."""

    def __init__(
        self,
        settings: Settings,
        unknowns: UnknownMaintenance,
        gallery: UnknownGallery,
        databases: Databases,
        sightings: SightingStore,
    ) -> None:
        """Use stores that the caller opens and closes."""
        self._settings = settings
        self._unknowns = unknowns
        self._gallery = gallery
        self._databases = databases
        self._sightings = sightings
        self._templates = UnknownTemplates(unknowns, gallery)
        self._batch = settings.maintenance.batch

    async def run(self) -> UnknownsDone:
        """One round.

        Raises:
            StoreUnavailable: a store is unavailable; what was done stays.
        """
        done = UnknownsDone()
        done.repaired = await self.repair()
        done.removed = await self._remove_orphans()
        if self._settings.unknowns.enabled:
            for model, dimension in (await self._gallery.models()).items():
                await self._consolidate(model, dimension, done)
        metrics.UNKNOWNS_MERGED.inc(done.merged)
        return done

    async def repair(self) -> int:
        """Have the gallery follow what it does not have yet; returns how many unknowns.

        These are merges, parts, promotions, and undos of promotions.
        """
        repaired = 0
        while due := await self._unknowns.due(self._batch):
            for one in due:
                bare = await self._templates.follow(one.id, one.together)
                for name in sorted(bare):
                    await self._make_template(name)
                repaired += 1
        return repaired

    async def _make_template(self, unknown_id: UUID) -> None:
        settings = self._settings.unknowns
        if settings.enabled:
            await make_template(
                self._unknowns,
                self._gallery,
                self._sightings,
                unknown_id,
                grouping_policy(settings, match_policy("", self._settings.models)),
            )
        await self._unknowns.applied(unknown_id)

    async def _remove_orphans(self) -> int:
        """Remove templates whose unknown is none any more.

        It was deleted, as by a retention that was cut off, or is another one, or a user.
        """
        before = utc_now() - timedelta(seconds=self._settings.maintenance.grace)
        last, removed = _FIRST, 0
        while page := await self._gallery.ids_after(last, before, self._batch):
            last = max(page)
            heirs = await self._unknowns.heirs(page)
            orphans = set(page) - heirs.keys()
            await self._gallery.remove(orphans)
            left = [
                one
                for one, heir in heirs.items()
                if heir != one and not (heir is None and page[one])
            ]
            for one in left:
                await self._templates.follow(one)
            removed += len(orphans) + len(left)
        return removed

    async def _consolidate(self, model: str, dimension: int, done: UnknownsDone) -> None:
        galleries = Galleries(self._gallery, poll=1.0, max_age=1.0, of=OF_UNKNOWNS)
        last = _FIRST
        while changed := await self._unknowns.changed(model, last, self._batch):
            last = max(changed)
            gallery = await galleries.get(model, dimension)
            await galleries.refresh(model)
            await self._compare(model, gallery, changed, done)

    async def _policy(self, model: str) -> ConsolidationPolicy:
        """When unknowns of a model are merged."""
        async with self._databases.main() as session:
            models = {one.id: one for one in await stored_models(session)}
        match = served_policy(models.get(model), match_policy(model, self._settings.models))
        settings = self._settings.unknowns
        threshold = grouping_policy(settings, match).threshold
        return ConsolidationPolicy(settings.merge_threshold or threshold, threshold)

    async def _compare(
        self, model: str, gallery: Gallery, changed: Mapping[UUID, datetime], done: UnknownsDone
    ) -> None:
        """Compare unknowns that have changed with all."""
        policy = await self._policy(model)
        near = await asyncio.to_thread(_near, gallery, list(changed), policy.propose_threshold)
        near += await self._unknowns.proposed_with(changed.keys())
        ids = sorted({*changed, *(one for pair in near for one in pair)})
        exemplars = await self._gallery.exemplars_of(model, ids)
        groups = [
            Group(
                one.id,
                one.first_seen_at,
                np.stack([exemplar.embedding for exemplar in exemplars[one.id]]),
                one.joined,
            )
            for one in await self._unknowns.open_ones(ids)
            if one.id in exemplars
        ]
        apart = await self._unknowns.apart(ids)
        found = await asyncio.to_thread(consolidate, groups, near, apart, policy)
        for merge in found.merges:
            kept = await self._unknowns.merge(merge.kept, merge.merged)
            if kept is not None:
                both = {merge.kept, merge.merged}
                await align_exemplars(self._unknowns, self._gallery, both)
                done.merged += 1
        await self._unknowns.consolidated(changed, found.proposals)
        done.proposed += len(found.proposals)


@asynccontextmanager
async def opened_unknown_rounds(settings: Settings) -> AsyncIterator[UnknownRounds]:
    """Rounds over stores that are open for the time of the context.

    Raises:
        StoreUnavailable: a database is unavailable.
    """
    async with (
        UnknownMaintenance(settings.main_db) as unknowns,
        UnknownGallery(settings.vector_db) as gallery,
        Databases(settings) as databases,
        SightingStore(settings.vector_db) as sightings,
    ):
        yield UnknownRounds(settings, unknowns, gallery, databases, sightings)


def _near(
    gallery: Gallery, unknown_ids: Sequence[UUID], threshold: float
) -> list[tuple[UUID, UUID]]:
    """The pairs of unknowns whose templates are alike, with one of these in each."""
    pairs = []
    for start in range(0, len(unknown_ids), _AT_ONCE):
        templates = {
            one: template
            for one in unknown_ids[start : start + _AT_ONCE]
            if (template := gallery.template(one)) is not None
        }
        if not templates:
            continue
        found = gallery.search(np.stack(list(templates.values())), _NEIGHBOURS + 1)
        for one, candidates in zip(templates, found, strict=True):
            pairs += [
                (one, candidate.user_id)
                for candidate in candidates
                if candidate.user_id != one and candidate.similarity >= threshold
            ]
    return pairs
