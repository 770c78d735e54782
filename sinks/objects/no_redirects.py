"""HTTP transport of the S3 client, which does not follow redirects.

aiobotocore lets aiohttp follow redirects. A store, or a server in its place, could make a worker
send requests to servers that only the worker reaches, and accept the answer as an image. botocore
does not follow redirects, but asks the same server for the region of the bucket, without end.

A connection that has gone dead is found out by a request that waits out its time, and so would the
others of the pool be, one by one: after the first all are replaced.
"""

from typing import Any
from urllib.parse import urlsplit

from aiobotocore.httpsession import AIOHTTPSession
from aiohttp import ClientSession
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from config.tasks.cancellation import leaked_cancellation_as

#: 304 is none: it says that nothing has changed.
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


#: By this Amazon says that the bucket is in another region.
REGION_HEADER = "x-amz-bucket-region"


class Redirected(Exception):
    """The server sends us elsewhere; a store of ours, at the right address, does not.

    Attributes:
        of_every_key: it redirects every request: the endpoint or the region is wrong.
    """

    def __init__(self, status: int, region: str | None, *, of_every_key: bool) -> None:
        super().__init__(redirection(status, region))
        self.of_every_key = of_every_key


def redirection(status: int, region: str | None) -> str:
    """One line about an answer that sends us elsewhere.

    Args:
        status: HTTP status of the answer.
        region: where the bucket is, if the answer has said.
    """
    where = (
        f"; the bucket is in region {region:.40}, FECAPASS_S3__REGION names it" if region else ""
    )
    return f"it sends us elsewhere (HTTP {status}){where}"


class DirectSession(AIOHTTPSession):  # type: ignore[misc]
    """Follows no redirect: botocore raises `HTTPClientError` about `Redirected`."""

    _sessions: dict[str | None, ClientSession] | None

    async def send(self, request: Any) -> Any:
        """As the base class; after a timeout no connection of before is used again."""
        # Of a request that waits for its connection while they are all closed.
        closed = EndpointConnectionError(
            endpoint_url=request.url, error="its connections were closed"
        )
        try:
            with leaked_cancellation_as(closed):
                return await super().send(request)
        except (ConnectTimeoutError, ReadTimeoutError):
            await self.forget_connections()
            raise

    async def forget_connections(self) -> None:
        """Close all connections; requests under way fail, and are tried again by their callers."""
        if self._sessions is None:
            return
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    async def _get_session(self, proxy_url: str | None) -> "_Direct":
        return _Direct(await super()._get_session(proxy_url))


class _Direct:
    """The part of a session that the base class uses."""

    def __init__(self, session: Any) -> None:
        self._session = session

    async def request(self, method: str, **arguments: Any) -> Any:
        answer = await self._session.request(method, allow_redirects=False, **arguments)
        if answer.status in _REDIRECTS:
            answer.close()
            region = answer.headers.get(REGION_HEADER)
            place = answer.headers.get("Location")
            raise Redirected(
                answer.status,
                region,
                of_every_key=region is not None or _same_path(place, str(answer.url)),
            )
        return answer


def _same_path(place: str | None, asked: str) -> bool:
    """Whether the redirect leads to the same path on another server, or with another scheme."""
    try:
        return place is not None and urlsplit(place).path == urlsplit(asked).path
    except ValueError:
        return False
