"""Claim checks that do not wait, each for itself, for a store that is known to be away.

A store that hangs answers only after the longest timeout. If each claim check waited for that, the
frames of the same batch that came inline would also wait. So after a failure one claim check at a
time asks the store, and the others fail at once, until it answers again.

Source: M. Nygard, "Release It!", 2007, "Circuit Breaker".
"""

from collections.abc import Awaitable, Callable

from domain.failures import Denied, Reject, Retry

#: Fetches what a claim check (``s3://bucket/key``) names.
Fetch = Callable[[str], Awaitable[bytes]]


class ClaimCheckBreaker:
    """Fetches what claim checks name. Not thread-safe: it belongs to one event loop."""

    def __init__(self, fetch: Fetch) -> None:
        """Use ``fetch``, which raises `Retry` while the store is unavailable."""
        self._fetch = fetch
        self._failure: Retry | None = None
        self._probing = False

    async def __call__(self, dataref: str) -> bytes:
        """Fetch an image.

        Raises:
            Retry: the store is unavailable, as far as is known.
            Reject: the claim check is at fault.
        """
        if self._failure is None:
            return await self._ask(dataref)
        if self._probing:
            raise Retry(f"{self._failure}; another claim check is asking whether it is back")
        self._probing = True
        try:
            return await self._ask(dataref)
        finally:
            self._probing = False

    async def _ask(self, dataref: str) -> bytes:
        try:
            data = await self._fetch(dataref)
        except (Denied, Reject):
            self._failure = None  # it answers
            raise
        except Retry as failure:
            self._failure = failure
            raise
        self._failure = None
        return data
