"""The S3 client's way to the network, which goes where it was sent and nowhere else.

aiobotocore lets aiohttp follow redirects. A store, or whoever answers in its place, could so make a
worker ask servers that only the worker reaches, and take the answer for an image. botocore does not
follow them, but asks where else the bucket may be, of the same server, and so without end.
"""

from typing import Any

from aiobotocore.httpsession import AIOHTTPSession

#: 304 is none: it says that nothing has changed.
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Redirected(Exception):
    """The server sends us elsewhere; a store of ours, at the right address, does not."""


class DirectSession(AIOHTTPSession):  # type: ignore[misc]
    """Follows no redirect: botocore raises `HTTPClientError` about `Redirected`."""

    async def _get_session(self, proxy_url: str | None) -> "_Direct":
        return _Direct(await super()._get_session(proxy_url))


class _Direct:
    """What the base class asks of a session, and no more."""

    def __init__(self, session: Any) -> None:
        self._session = session

    async def request(self, method: str, **arguments: Any) -> Any:
        answer = await self._session.request(method, allow_redirects=False, **arguments)
        if answer.status in _REDIRECTS:
            answer.close()
            raise Redirected(f"it sends us elsewhere (HTTP {answer.status})")
        return answer
