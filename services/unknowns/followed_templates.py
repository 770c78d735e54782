"""The templates of an unknown follow what was said of it: given a name, or not any more."""

from collections.abc import Collection
from uuid import UUID

from services.unknowns.unknown_grouping import align_exemplars
from sinks.main.unknowns.unknown_regrouping import UnknownRegrouping
from sinks.vector.unknowns.unknown_gallery import UnknownGallery


class UnknownTemplates:
    """Writes into the gallery of unknowns what the rows say; harmless if repeated."""

    def __init__(self, unknowns: UnknownRegrouping, gallery: UnknownGallery) -> None:
        """Use stores that the caller opens and closes."""
        self._unknowns = unknowns
        self._gallery = gallery

    async def follow(self, unknown_id: UUID, together: Collection[UUID] = ()) -> set[UUID]:
        """Take an unknown that has a name out of the gallery, or bring another one back.

        It follows from the row as it is now, which is held: an undo that is made at the same time
        waits.

        Args:
            unknown_id: the unknown.
            together: others that may have its exemplars.

        Returns:
            Those that should have a template and have none, see `align_exemplars`.

        Raises:
            StoreUnavailable: a database is unavailable; maintenance does it.
        """
        async with self._unknowns.held(unknown_id) as held:
            if held is None:
                return set()
            if held.state == "promoted":
                await self._gallery.set_aside(unknown_id)
                await held.applied()
                return set()
            kept = await self._gallery.visits_set_aside(unknown_id)
            await self._gallery.take_back(unknown_id, await held.withdrawn(kept))
        return await align_exemplars(self._unknowns, self._gallery, {unknown_id, *together})
