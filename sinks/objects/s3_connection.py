"""The S3 client: how it is set up, and which failure an error of its libraries is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from aiobotocore.config import AioConfig
from aiobotocore.response import AioReadTimeoutError
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.httpsession import get_cert_path
from botocore.loaders import Loader, create_loader

from config.network.sockets import watched_socket
from config.settings import S3Settings
from sinks.objects.fast_put import DirectPuts
from sinks.objects.no_redirects import DirectSession, Redirected
from sinks.objects.s3_errors import described, is_fault, is_the_stores
from sinks.sink import Connected
from sinks.store_errors import StoreFault, StoreRejected, StoreUnavailable

# A placeholder for a key when only the address of the bucket is needed.
_ANY_KEY = "key"


class S3Connection(Connected):
    """A pool of connections to one S3 endpoint.

    Use it as an async context manager, or call `connect` and `close`. All methods of its
    subclasses raise the errors of `sinks.store_errors`.
    """

    def __init__(self, settings: S3Settings) -> None:
        """Take the settings; nothing is connected yet."""
        self.bucket = settings.bucket
        self.store = f"S3 {settings.endpoint_url or settings.region}/{settings.bucket}"
        self._settings = settings
        self._places = asyncio.Semaphore(settings.max_connections)
        self._exit = AsyncExitStack()
        self._opened: Any = None
        self._puts: DirectPuts | None = None

    async def connect(self) -> None:
        """Make the client; the store itself is first asked by the first call."""
        if self._opened is not None:
            return
        settings = self._settings
        proxy = settings.proxy
        session = get_session()
        session.register_component("data_loader", _loader())
        self._opened = await self._exit.enter_async_context(
            session.create_client(
                "s3",
                region_name=settings.region,
                endpoint_url=settings.endpoint_url,
                aws_access_key_id=settings.access_key_id,
                aws_secret_access_key=settings.secret_access_key.get_secret_value(),
                verify=_authorities(settings),
                config=AioConfig(
                    http_session_cls=DirectSession,
                    connector_args={"socket_factory": watched_socket},
                    client_cert=_certificate(settings),
                    # Both avoid work on every request; together they make a put a quarter cheaper.
                    user_agent="fecapass",
                    # By default, botocore would use the environment's proxy; with other defaults,
                    # it would ask the cloud where it runs.
                    proxies={"http": proxy, "https": proxy} if proxy else {},
                    defaults_mode="legacy",
                    parameter_validation=False,
                    connect_timeout=settings.connect_timeout,
                    read_timeout=settings.read_timeout,
                    max_pool_connections=settings.max_connections,
                    # The callers retry for as long as it takes; here only a dropped connection.
                    retries={"mode": "standard", "total_max_attempts": 2},
                    s3={"addressing_style": _addressing(settings)},
                    # Other makers' servers need not know AWS's newer checksums.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )
        )
        signed = await self._opened.generate_presigned_url(
            "put_object", {"Bucket": self.bucket, "Key": _ANY_KEY}
        )
        bucket_url = signed.partition("?")[0].removesuffix(_ANY_KEY)
        if proxy is None:
            authorities = session.get_config_variable("ca_bundle") or get_cert_path(True)
            puts = DirectPuts(settings, bucket_url, authorities)
            self._puts = await self._exit.enter_async_context(puts)

    async def close(self) -> None:
        """Close all connections."""
        self._opened = self._puts = None
        await self._exit.aclose()

    @asynccontextmanager
    async def _client(self, operation: str, *, key_is_ours: bool = True) -> AsyncIterator[Any]:
        """The client, when one of its connections is free; its failures are typed."""
        if self._opened is None:
            raise StoreUnavailable(self.store, operation, "not connected")
        async with self._places:
            try:
                yield self._opened
            except ClientError as error:
                raise self._typed(operation, error, key_is_ours) from error
            except HTTPClientError as error:
                cause = error.kwargs.get("error")
                detail = f"{type(cause or error).__name__}: {cause or error}"
                # A server that redirects for a producer's key does so every time; one that
                # redirects for every key is the wrong one.
                if isinstance(cause, Redirected) and not (key_is_ours or cause.of_every_key):
                    raise StoreRejected(self.store, operation, detail) from error
                raise StoreUnavailable(self.store, operation, detail) from error
            except (BotoCoreError, OSError, TimeoutError) as error:
                if isinstance(error, AioReadTimeoutError) and self._opened is not None:
                    # Of a body, whose request had its answer.
                    await self._opened._endpoint.http_session.forget_connections()  # noqa: SLF001 - aiobotocore offers no other way
                detail = f"{type(error).__name__}: {error}"
                raise StoreUnavailable(self.store, operation, detail) from error

    def _typed(
        self, operation: str, error: ClientError, key_is_ours: bool
    ) -> StoreUnavailable | StoreRejected:
        detail = described(error)
        if is_fault(error):
            return StoreFault(self.store, operation, detail)
        if is_the_stores(error, key_is_ours=key_is_ours):
            return StoreUnavailable(self.store, operation, detail)
        return StoreRejected(self.store, operation, detail)


@cache
def _loader() -> Loader:
    """The description of S3's API, a megabyte of JSON: read once a process, not once a client."""
    return create_loader()


def _authorities(settings: S3Settings) -> str | bool | None:
    """Whom to trust: a PEM file, or None for those that the library brings.

    False where nothing is encrypted and no proxy might be: all of them would be read in vain.
    """
    if settings.tls.ca_file:
        return str(settings.tls.ca_file)
    plain = urlsplit(settings.endpoint_url or "").scheme == "http"
    return False if plain and settings.proxy is None else None


def _certificate(settings: S3Settings) -> tuple[str, str] | None:
    """Our certificate and its key, for a server that requires one."""
    certificate, key = settings.tls.cert_file, settings.tls.key_file
    return (str(certificate), str(key)) if certificate and key else None


def _addressing(settings: S3Settings) -> str:
    """Where the bucket is named: other vendors' servers seldom have a host name per bucket."""
    if settings.addressing == "auto" and settings.endpoint_url:
        return "path"
    return settings.addressing
