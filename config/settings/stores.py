"""The stores: two databases, an object store, a cache."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, model_validator

from config.network.http_proxies import ProxySetting, proxy_towards
from config.settings.base import Bucket, Count, Group, Port, PositiveSeconds, Region, inconsistent
from config.settings.tls import DatabaseTls, RedisTls, TlsFiles


class DatabaseSettings(Group):
    """One PostgreSQL database."""

    host: str = "127.0.0.1"
    """Host; or several with optional ports, separated by commas: the writable one is used."""
    port: Port = 5432
    """TCP port of hosts without a port."""
    name: str
    """Name of the database."""
    user: str = "fecapass"
    """Role that owns the tables."""
    password: SecretStr
    """The role's password."""
    tls: DatabaseTls = DatabaseTls()
    pool_min: Annotated[int, Field(ge=0)] = 1
    """Connections that each process keeps open."""
    pool_max: Annotated[int, Field(ge=2)] = 8
    """Maximum connections of each process; one of them holds the claim of a batch."""
    connect_timeout: PositiveSeconds = 5.0
    """Seconds to wait for a connection."""
    command_timeout: PositiveSeconds = 30.0
    """Seconds that one statement may take."""
    idle_transaction_timeout: PositiveSeconds = 10.0
    """Seconds after which the server ends an idle transaction."""

    @property
    def dsn(self) -> str:
        """Connection URL for asyncpg, password included: never log it."""
        return f"postgresql://{self._credentials}@{self._location}"

    @property
    def sqlalchemy_url(self) -> str:
        """Connection URL for SQLAlchemy's asyncpg dialect, password included: never log it."""
        if len(self.hosts) == 1:
            return f"postgresql+asyncpg://{self._credentials}@{self._location}"
        hosts = "&".join(f"host={quote(f'{host}:{port}')}" for host, port in self.hosts)
        return f"postgresql+asyncpg://{self._credentials}@/{quote(self.name, safe='')}?{hosts}"

    @property
    def hosts(self) -> list[tuple[str, int]]:
        """Host and port of every server that may be the one to write to, in the order given.

        Raises:
            ValueError: ``host`` is no list of hosts.
        """
        return [_host_and_port(one, self.port) for one in self.host.split(",")]

    @property
    def safe_url(self) -> str:
        """Connection URL without the password, fit for logs and error messages."""
        return f"postgresql://{quote(self.user, safe='')}@{self._location}"

    @property
    def _credentials(self) -> str:
        return f"{quote(self.user, safe='')}:{quote(self.password.get_secret_value(), safe='')}"

    @property
    def _location(self) -> str:
        hosts = [(f"[{host}]" if ":" in host else host, port) for host, port in self.hosts]
        listed = ",".join(f"{host}:{port}" for host, port in hosts)
        return f"{listed}/{quote(self.name, safe='')}"

    @model_validator(mode="after")
    def _hosts_are_named(self) -> Self:
        try:
            right = all(host for host, _ in self.hosts)
        except ValueError:
            right = False
        if not right:
            raise inconsistent("{host} is not a host, nor several hosts separated by commas")
        return self


_HOST = re.compile(
    r"\[(?P<address>[^\[\]]+)\](?::(?P<its_port>\d+))?|(?P<name>[^:]+):(?P<port>\d+)"
)

_LAST_PORT = 65535


def _host_and_port(text: str, port: int) -> tuple[str, int]:
    """Read ``host``, ``host:port``, ``[IPv6]:port`` or a bare IPv6 address.

    Raises:
        ValueError: the port is none.
    """
    text = text.strip()
    named = _HOST.fullmatch(text)
    if named is None:
        return text, port
    chosen = int(named["its_port"] or named["port"] or port)
    if not 1 <= chosen <= _LAST_PORT:
        raise ValueError(f"{chosen} is not a port")
    return named["address"] or named["name"], chosen


class MainDatabaseSettings(DatabaseSettings):
    """The main database: users, faces, the ledger of events."""

    name: str = "fecapass_main"
    """Name of the database."""


class VectorDatabaseSettings(DatabaseSettings):
    """The vector database: templates and sightings; needs pgvector 0.8.4 or later."""

    name: str = "fecapass_vector"
    """Name of the database."""


class S3Settings(Group):
    """Any S3-compatible object store."""

    endpoint_url: str | None = None
    """URL of the server, https or http; unset: Amazon S3."""
    region: Region = "us-east-1"
    """Region for which requests are signed."""
    bucket: Bucket = "fecapass"
    """Bucket of the crops and claim checks."""
    access_key_id: str
    """Access key."""
    secret_access_key: SecretStr
    """Secret key."""
    addressing: Literal["auto", "path", "virtual"] = "auto"
    """Bucket in the path or the host name; auto: in the path if an endpoint is set."""
    tls: TlsFiles = TlsFiles()
    proxy_url: ProxySetting = None
    """HTTP proxy to the store: its URL; environment: use the proxy variables; or none."""
    claim_check_buckets: tuple[Bucket, ...] = ()
    """More buckets that claim checks may name; a JSON list."""
    max_connections: Count = 64
    """Maximum number of connections of each process."""
    connect_timeout: PositiveSeconds = 5.0
    """Seconds to wait for a connection."""
    read_timeout: PositiveSeconds = 8.0
    """Seconds to wait for an answer, or for the next part of it."""

    @property
    def address(self) -> str:
        """URL of the server, Amazon's own where no other is set."""
        return self.endpoint_url or f"https://s3.{self.region}.amazonaws.com"

    @property
    def proxy(self) -> str | None:
        """The proxy in use now, with its user and password: never log it. None for none."""
        return proxy_towards(self.proxy_url, self.address)

    @model_validator(mode="after")
    def _proxy_is_known(self) -> Self:
        try:
            _ = self.proxy
        except ValueError as error:
            raise inconsistent(f"{{proxy_url}} is environment, and {error}") from None
        return self

    @model_validator(mode="after")
    def _endpoint_fits(self) -> Self:
        if self.endpoint_url is None:
            return self
        try:
            url = urlsplit(self.endpoint_url)
            right = url.scheme in {"http", "https"} and url.hostname and not url.query
            has_user = "@" in url.netloc
        except ValueError:
            right, has_user = False, False
        if not right:
            raise inconsistent("{endpoint_url} is not an http or https address")
        if has_user:
            raise inconsistent("{endpoint_url} has a user in it; {access_key_id} names it")
        if url.scheme == "http" and (given := self.tls.given()):
            raise inconsistent(f"{{tls.{given[0]}}} is set, but {{endpoint_url}} is not https")
        return self


class RedisSettings(Group):
    """Redis 7 or Valkey; all data in it can be lost."""

    host: str = "127.0.0.1"
    """Host name or address."""
    port: Port = 6379
    """TCP port."""
    db: Annotated[int, Field(ge=0)] = 0
    """Number of the database."""
    username: str | None = None
    """User of the server's ACL; unset: its default user."""
    password: SecretStr | None = None
    """Password; unset if the server needs none."""
    tls: RedisTls = RedisTls()
    timeout: PositiveSeconds = 2.0
    """Seconds to wait for a connection or an answer."""
    max_connections: Count = 32
    """Maximum number of connections of each process."""
    recent_matches_kept: Count = 1000
    """Maximum number of matches kept for `fecapass recent --faces`."""
    answer_seconds: PositiveSeconds = 3600.0
    """Seconds for which the answer to an upload is kept."""

    @property
    def url(self) -> str:
        """Connection URL, password included: never log it."""
        secret = self.password.get_secret_value() if self.password else ""
        user = quote(self.username or "", safe="")
        credentials = f"{user}:{quote(secret, safe='')}@" if secret else ""
        return f"{self._scheme}://{credentials}{self._location}"

    @property
    def safe_url(self) -> str:
        """Connection URL without the password, fit for logs and error messages."""
        return f"{self._scheme}://{self._location}"

    @property
    def _scheme(self) -> str:
        return "rediss" if self.tls.enabled else "redis"

    @property
    def _location(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.db}"

    @model_validator(mode="after")
    def _user_has_a_password(self) -> Self:
        if self.username is not None and self.password is None:
            raise inconsistent("{username} is set without {password}")
        return self
