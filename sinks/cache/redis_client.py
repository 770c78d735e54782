"""What all that speaks to Redis shares: the client, the names of keys, the typed failures."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

import msgspec
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from config.settings import RedisSettings
from config.settings.tls import RedisTls
from sinks.cache.redis_errors import code_of, described, is_wrong_server
from sinks.store_errors import StoreReadOnly, StoreUnavailable

#: Before every key and channel, so that a server can be shared.
PREFIX = "fecapass:"

Decoded = TypeVar("Decoded")

_PROBE = f"{PREFIX}ping"

#: uvloop says so of a connection that was reset, where asyncio would raise an OSError.
_CLOSED_UNDER_UVLOOP = "the handler is closed"


def encode_name(name: str) -> bytes:
    """A key's name as bytes, whatever characters a camera's or upload's id has in it."""
    return name.encode(errors="surrogatepass")


def readable(decode: Callable[[bytes], Decoded], values: Iterable[bytes]) -> Iterator[Decoded]:
    """Decode; what another version of Fecapass wrote in another form is passed over."""
    for value in values:
        with suppress(msgspec.MsgspecError):
            yield decode(value)


def create_client(settings: RedisSettings, *, patient: bool = False) -> redis.asyncio.Redis:
    """A client with its own pool.

    Args:
        settings: where the server is.
        patient: reading may take any time, as listening does.
    """
    # Beyond so many calls at once the others wait their turn, as long as a call may take.
    pool = redis.asyncio.BlockingConnectionPool(
        **_tls(settings.tls),
        max_connections=settings.max_connections,
        timeout=settings.timeout,
        host=settings.host,
        port=settings.port,
        db=settings.db,
        username=settings.username,
        password=settings.password.get_secret_value() if settings.password else None,
        socket_connect_timeout=settings.timeout,
        socket_timeout=None if patient else settings.timeout,
        socket_keepalive=True,
        # One more try, for a connection that the server has closed in the meantime; none after a
        # timeout, which callers have waited out already.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )
    return redis.asyncio.Redis.from_pool(pool)


def _tls(tls: RedisTls) -> dict[str, Any]:
    """What makes the pool's connections speak TLS."""
    if not tls.enabled:
        return {}
    context = tls.context(check_hostname=tls.check_hostname)

    class _Connection(redis.asyncio.SSLConnection):
        """Trusts what the settings name and nothing else; the client's own adds it to the rest."""

        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.ssl_context.context = context

    return {"connection_class": _Connection}


@asynccontextmanager
async def calling(client: Any, store: str, operation: str) -> AsyncIterator[None]:
    """`typed_failures`; connections to a server that takes no writes are not used again.

    The name may lead to another server by now.
    """
    try:
        with typed_failures(store, operation):
            yield
    except StoreReadOnly:
        with suppress(RedisError, OSError):
            await client.connection_pool.disconnect(inuse_connections=False)
        raise


async def probe(client: Any, store: str) -> None:
    """Write something that is gone at once: a replica, and a server that is full, answer a PING.

    Raises:
        StoreReadOnly: the server is a replica.
        StoreUnavailable: it does not answer, or takes no writes now.
    """
    async with calling(client, store, "ping"):
        await client.set(_PROBE, b"", px=1000)


@contextmanager
def typed_failures(store: str, operation: str) -> Iterator[None]:
    """Turn whatever the client raises into `StoreUnavailable`: to callers it is a cache miss.

    Nothing of a command gets into the message, nor into its cause: it may hold a face.
    """
    try:
        yield
    except (RedisError, OSError, UnicodeError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and _CLOSED_UNDER_UVLOOP not in str(error):
            raise
        kind = StoreReadOnly if is_wrong_server(code_of(error)) else StoreUnavailable
        raise kind(store, operation, described(error)) from None
