"""The unknowns agent: from visits of unknown people to unknowns who come back.

1. leave out the visits that have an unknown already; a visit that is a user's now, or was merged
   into another one, is taken from its unknown, unless that unknown became this user
2. the mean of the visit's best embeddings
3. hold the gallery of unknowns; compare, and decide (`domain.decisions.grouping`)
4. the template of the unknown -> pgvector
5. the visit's row -> Postgres, the commit point: the first one counts

One visit after the other: while the gallery is held, no other worker decides, so it makes no
difference how many workers there are or how the visits come in batches.
"""

from collections.abc import Callable, Sequence
from uuid import UUID

from agents.unknowns.unknown_lookup import UnknownLookup
from config.observability import metrics
from domain.decisions.grouping import (
    Assignment,
    Exemplar,
    GroupingPolicy,
    assign,
    is_of_an_unknown,
    kept_exemplars,
    may_be_grouped,
)
from domain.failures import Reject
from domain.store_rows import Embedding
from domain.visit_events import Visit, VisitState
from sinks.main.unknowns.unknown_store import UnknownStore
from sinks.vector.unknowns.unknown_gallery import UnknownGallery
from streams.contract.message import Message
from streams.contract.visit_codec import read_visit
from streams.processing.stage import Outcomes, Stage


class Unknowns(Stage):
    """Processes batches of ``faces.visits``; it keeps nothing between two messages."""

    def __init__(
        self,
        unknowns: UnknownStore,
        gallery: UnknownGallery,
        lookup: UnknownLookup,
        policy: Callable[[str], GroupingPolicy],
    ) -> None:
        """Create the stage.

        Args:
            unknowns: where unknowns are stored.
            gallery: where their templates are.
            lookup: embeddings of visits, and the copies of the gallery.
            policy: when a visit is of an unknown who was seen before, by a model; which visits and
                which of their faces are used is the same for all.
        """
        self._unknowns = unknowns
        self._gallery = gallery
        self._lookup = lookup
        self._policy = policy

    async def process(self, batch: Sequence[Message]) -> Outcomes:
        """Give each visit that has ended to its unknown."""
        refused: dict[Message, Reject] = {}
        ended: list[Visit] = []
        for message in batch:
            try:
                visit = read_visit(message.value)
            except Reject as reject:
                refused[message] = reject
                continue
            if visit.state is VisitState.ENDED:
                ended.append(visit)
        known = await self._unknowns.members({visit.visit_id for visit in ended})
        for visit in ended:
            if not is_of_an_unknown(visit):
                if visit.visit_id in known and not await self._is_promoted(visit):
                    del known[visit.visit_id]
                    await self._withdraw(visit.visit_id)
            elif visit.visit_id not in known:
                await self._give(visit, known)
        return refused

    async def _give(self, visit: Visit, known: dict[UUID, UUID]) -> None:
        """Find the unknown of a visit, and note it in ``known``."""
        outcome = "left_out"
        with metrics.UNKNOWN_ASSIGN_SECONDS.time():
            found = None
            usual = self._policy("")
            if may_be_grouped(visit, usual):
                found = await self._lookup.embedding(visit.visit_id, usual)
            if found is not None:
                given, owner = await self._decide(visit.visit_id, *found)
                if owner is not None:
                    known[visit.visit_id] = owner
                    outcome = given.reason
        metrics.UNKNOWN_VISITS.labels(outcome=outcome).inc()

    async def _decide(
        self, visit_id: UUID, model: str, embedding: Embedding
    ) -> tuple[Assignment, UUID | None]:
        """Decide, write the template, and then the visit's row; whose visit it is now.

        Since the decision the visit may have become a user's, or its unknown: then it is no
        unknown's.
        """
        apart = await self._unknowns.in_the_same_frames(visit_id)
        async with self._gallery.locked(model) as locked:
            owner = await locked.owner_of(visit_id)
            if owner is not None:
                # A worker that ended before it wrote the visit's row has decided.
                given = Assignment(owner, None, "joined")
            else:
                best = await self._lookup.most_similar(locked, model, embedding, apart)
                given = assign(visit_id, best, apart, self._policy(model))
                exemplars = [] if given.begins else await locked.exemplars(given.unknown_id)
                own = Exemplar(visit_id, embedding)
                kept = kept_exemplars([*exemplars, own])
                if own in kept:
                    await locked.write(given.unknown_id, kept)
        unknown_id = await self._unknowns.add(visit_id, model, given, apart)
        if unknown_id is None:
            await self._take_out(visit_id)
        return given, unknown_id

    async def _is_promoted(self, visit: Visit) -> bool:
        """Whether a visit is a user's because its unknown is: it stays, for an undo of that."""
        user_id = visit.user_id
        return user_id is not None and await self._unknowns.became(visit.visit_id, user_id)

    async def _withdraw(self, visit_id: UUID) -> None:
        """Take a visit from its unknown: first out of the template, then its row."""
        await self._take_out(visit_id)
        gone = await self._unknowns.withdraw([visit_id])
        if gone:
            await self._gallery.remove(gone)

    async def _take_out(self, visit_id: UUID) -> None:
        """Take a visit out of the template that it is part of."""
        for model in await self._gallery.models():
            async with self._gallery.locked(model) as locked:
                owner = await locked.owner_of(visit_id)
                if owner is not None:
                    left = await locked.exemplars(owner)
                    await locked.write(owner, [one for one in left if one.visit_id != visit_id])
