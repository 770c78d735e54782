"""The object store: crops of faces, and images that came by claim check."""

import asyncio
from collections.abc import Awaitable, Iterable

from sinks.objects.claim_check_store import ClaimCheckStore
from sinks.objects.object_erasure import ObjectErasure


class Crops(ClaimCheckStore, ObjectErasure):
    """Reads and writes one bucket, over one pool of connections.

    Use it as an async context manager, or call `connect` and `close`. All methods raise the
    errors of `sinks.store_errors`.
    """

    async def put_many(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Store JPEGs by key, at most as many at once as there are connections.

        Raises:
            StoreUnavailable: at least one could not be stored; others may have been.
        """
        await _all_of(self.put(key, data) for key, data in items)


async def _all_of(calls: Iterable[Awaitable[None]]) -> None:
    """Run all to their end, then raise the first failure: none is left running behind it."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
