"""PUT to an S3 bucket by the shortest way.

Crops are most of what the pipeline asks of the object store, and the full client spends five times
as long on a PUT as the server does (`python -m benchmarks sinks`). Here botocore signs and aiohttp
sends, and nothing comes between. Where the settings name a proxy, the full client puts: it knows
all the ways of proxies.
"""

import asyncio
import random
import re
import ssl
from pathlib import Path
from typing import Self
from urllib.parse import quote

import aiohttp
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from yarl import URL

from config.network.sockets import watched_socket
from config.settings import S3Settings
from config.tasks.cancellation import leaked_cancellation_as
from sinks.objects.no_redirects import REGION_HEADER, redirection

_FIRST_REDIRECT, _FIRST_REFUSAL, _FIRST_SERVER_ERROR = 300, 400, 500
_ATTEMPTS = 2
_LONGEST_PAUSE = 0.5
_CODE = re.compile(r"<Code>([^<]{1,100})</Code>")


class DirectPuts:
    """Puts objects into one bucket, over a pool of connections."""

    def __init__(self, settings: S3Settings, bucket_url: str, authorities: str) -> None:
        """Call it inside the running event loop, then use it as an async context manager.

        Args:
            settings: credentials, region, TLS, limits.
            bucket_url: URL of the bucket, with the slash before a key.
            authorities: PEM file of those that the full client trusts where the settings name none.

        Raises:
            OSError: a file of the TLS settings is gone since the start.
        """
        self._bucket_url = bucket_url
        self._host = URL(bucket_url).host_port_subcomponent or ""
        credentials = Credentials(
            settings.access_key_id, settings.secret_access_key.get_secret_value()
        )
        self._signer = S3SigV4Auth(credentials, "s3", settings.region)
        self._settings = settings
        secure = bucket_url.startswith("https:")
        self._tls: ssl.SSLContext | bool = _context(settings, authorities) if secure else True
        self._session = self._open()

    def _open(self) -> aiohttp.ClientSession:
        settings = self._settings
        return aiohttp.ClientSession(
            trust_env=False,
            connector=aiohttp.TCPConnector(
                limit=settings.max_connections, ssl=self._tls, socket_factory=watched_socket
            ),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=settings.connect_timeout, sock_read=settings.read_timeout
            ),
        )

    async def forget_connections(self) -> None:
        """Close all connections; puts under way are tried once more, on new ones."""
        before, self._session = self._session, self._open()
        await before.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store an object; the same key again overwrites it.

        A connection that was dropped is tried once more at once, and a server's own error after a
        moment: it may be asking for a slower pace.

        Raises:
            botocore.exceptions.ClientError: the server refuses.
            OSError: it cannot be reached, or sends us elsewhere; faces go to no other server.
        """
        url = self._bucket_url + quote(key, safe="/-_.~")
        for attempt in range(1, _ATTEMPTS + 1):
            # With a host header botocore need not parse the address: a fifth of the signing time.
            headers = {"content-type": content_type, "host": self._host}
            request = AWSRequest(method="PUT", url=url, data=data, headers=headers)
            self._signer.add_auth(request)
            session = self._session
            try:
                with leaked_cancellation_as(_closed()):
                    async with session.put(
                        URL(url, encoded=True),
                        data=data,
                        headers=dict(request.headers),
                        allow_redirects=False,
                    ) as answer:
                        if answer.status < _FIRST_REDIRECT:
                            return
                        if answer.status < _FIRST_REFUSAL:
                            region = answer.headers.get(REGION_HEADER)
                            raise OSError(redirection(answer.status, region))
                        if answer.status < _FIRST_SERVER_ERROR or attempt == _ATTEMPTS:
                            raise _refusal(answer.status, await answer.text(errors="replace"))
                await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE))  # noqa: S311 - no secret
            except (aiohttp.ClientError, asyncio.IncompleteReadError) as error:
                # The line is dead, and with it all of its connections: they would be found out one
                # by one. That of a put is the first to know.
                if isinstance(error, TimeoutError) and session is self._session:
                    await self.forget_connections()
                if attempt == _ATTEMPTS:
                    raise OSError(f"{type(error).__name__}: {error}") from error


def _closed() -> aiohttp.ClientConnectionError:
    """Of a put that waited for its connection while another one closed them all."""
    return aiohttp.ClientConnectionError("its connections were closed")


def _context(settings: S3Settings, authorities: str) -> ssl.SSLContext:
    tls = settings.tls
    if tls.ca_file is None:
        tls = tls.model_copy(update={"ca_file": Path(authorities)})
    return tls.context()


def _refusal(status: int, said: str) -> ClientError:
    """As botocore's client would have it: the code of the answer, else its status."""
    code = _CODE.search(said)
    return ClientError(
        {
            "Error": {"Code": code[1] if code else str(status), "Message": ""},
            "ResponseMetadata": {"HTTPStatusCode": status},
        },
        "PutObject",
    )
