"""Names to ids, for answers and live matches; remembered for seconds, never longer."""

from collections.abc import Iterable
from time import monotonic
from uuid import UUID

from domain.store_rows import UserRow
from sinks.main.main_store import Records

_REMEMBERED_SECONDS = 5.0
_REMEMBERED_PEOPLE = 10_000
_NEVER: tuple[float, UserRow | None] = (float("-inf"), None)


class UserCache:
    """Looks users up, with a short cache."""

    def __init__(self, records: Records) -> None:
        """Look up in ``records``."""
        self._records = records
        self._known: dict[UUID, tuple[float, UserRow | None]] = {}

    async def get(self, user_ids: Iterable[UUID]) -> dict[UUID, UserRow]:
        """Those of these users that exist, by id.

        Raises:
            StoreUnavailable: the main database is unavailable.
        """
        fresh_since = monotonic() - _REMEMBERED_SECONDS
        asked = {user_id: self._known.get(user_id, _NEVER) for user_id in user_ids}
        stale = {user_id for user_id, (at, _) in asked.items() if at < fresh_since}
        found = await self._look_up(stale) if stale else {}
        return found | {
            user_id: row
            for user_id, (_, row) in asked.items()
            if row is not None and user_id not in stale
        }

    def forget(self, user_id: UUID) -> None:
        """Look this one up again: something about the user has changed."""
        self._known.pop(user_id, None)

    async def _look_up(self, user_ids: set[UUID]) -> dict[UUID, UserRow]:
        found = await self._records.users(user_ids)
        if len(self._known) > _REMEMBERED_PEOPLE:
            self._known.clear()
        now = monotonic()
        self._known.update({user_id: (now, found.get(user_id)) for user_id in user_ids})
        return found
