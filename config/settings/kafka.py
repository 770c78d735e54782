"""The broker and the topics."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from config.network.http_proxies import ProxySetting, is_loopback, proxy_towards
from config.settings.base import Brokers, Count, Group, PositiveSeconds, inconsistent
from config.settings.tls import KafkaTls, TlsFiles

#: What each way to say who we are needs, and what the other way has.
_LOGIN = ("sasl_username", "sasl_password")
_OAUTH = ("oauth_token_url", "oauth_client_id", "oauth_client_secret")
_OAUTH_EXTRAS = ("oauth_scope", "oauth_ca_file", "oauth_proxy_url")

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class KafkaSettings(Group):
    """The Kafka-protocol broker and the topics."""

    bootstrap_servers: Brokers = "127.0.0.1:9092"
    """Brokers for the first connection: host:port, separated by commas."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    """PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, for the SASL protocols."""
    sasl_username: str | None = None
    """User name, for PLAIN and SCRAM."""
    sasl_password: SecretStr | None = None
    """The user's password."""
    oauth_token_url: str | None = None
    """https URL from which OAUTHBEARER gets tokens, by the client credentials grant."""
    oauth_client_id: str | None = None
    """Client id for the tokens."""
    oauth_client_secret: SecretStr | None = None
    """Client secret for the tokens."""
    oauth_scope: str | None = None
    """Scope of the tokens, if the issuer needs one."""
    oauth_ca_file: Path | None = None
    """PEM file of the authorities to trust for the issuer; unset: the public ones."""
    oauth_proxy_url: ProxySetting = None
    """HTTP proxy to the issuer: its URL; environment: use the proxy variables; or none."""
    tls: KafkaTls = KafkaTls()
    topic_prefix: str = ""
    """Prefix of the name of every topic and consumer group."""
    frames_partitions: Count = 8
    """Partitions of camera.frames; this limits the number of detect workers."""
    uploads_partitions: Count = 8
    """Partitions of photo.uploads."""
    detected_partitions: Count = 8
    """Partitions of faces.detected; this limits the number of identify workers."""
    matches_partitions: Count = 8
    """Partitions of faces.matches; this limits the number of follow workers."""
    visits_partitions: Count = 8
    """Partitions of faces.visits."""
    replication_factor: Count = 1
    """Copies of each partition; 3 in a cluster of three brokers or more."""
    frames_retention_hours: Annotated[float, Field(gt=0)] = 1.0
    """Retention of camera.frames, in hours."""
    uploads_retention_hours: Annotated[float, Field(gt=0)] = 168.0
    """Retention of photo.uploads, in hours."""
    dead_letter_retention_hours: Annotated[float, Field(gt=0)] = 168.0
    """Retention of the dead-letter topics, in hours."""
    max_message_bytes: Annotated[int, Field(ge=64 * 1024)] = 8 * 1024 * 1024
    """Maximum size of a message in bytes; a larger image goes by claim check."""
    frames_processed: bool = False
    """Send a message on frames.processed for every frame, also for one without a face."""
    claim_check: bool = False
    """Publish every image by claim check, regardless of its size."""
    session_timeout: PositiveSeconds = 30.0
    """Seconds without a heartbeat after which other workers get a worker's partitions."""
    request_timeout: PositiveSeconds = 40.0
    """Seconds to wait for a broker's answer."""
    commit_interval: PositiveSeconds = 1.0
    """Seconds between commits of offsets."""
    fetch_max_wait: PositiveSeconds = 0.5
    """Maximum seconds that a broker holds an empty fetch; at least 0.2 after 2 s of silence."""
    isolation_level: Literal["read_committed", "read_uncommitted"] = "read_committed"
    """read_committed skips messages of aborted transactions; read_uncommitted reads all."""

    @property
    def image_hours(self) -> dict[str, float]:
        """How long a message that names an image may exist, by folder of the claim check.

        It is in its topic, then a dead letter, and after `fecapass replay` in its topic again.
        """
        dead = self.dead_letter_retention_hours
        return {
            "frames": 2 * self.frames_retention_hours + dead,
            "uploads": 2 * self.uploads_retention_hours + dead,
        }

    @property
    def longest_way_hours(self) -> float:
        """How long an event may be in Kafka in total.

        First as an image and its dead letter; then in faces.detected, which has the retention of
        uploads, again with a dead letter and a replay.
        """
        detected = 2 * self.uploads_retention_hours + self.dead_letter_retention_hours
        return max(self.image_hours.values()) + detected

    @property
    def oauth_proxy(self) -> str | None:
        """The proxy towards the issuer, with its user and password: never log it."""
        return proxy_towards(self.oauth_proxy_url, self.oauth_token_url or "")

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self.security_protocol in {"SSL", "SASL_SSL"}

    @model_validator(mode="after")
    def _security_fits(self) -> Self:
        """Refuse what would be ignored, and what is missing."""
        if not self.encrypted and (given := self.tls.given()):
            raise inconsistent(f"{{tls.{given[0]}}} is set, but {{security_protocol}} has no TLS")
        if not self.security_protocol.startswith("SASL_"):
            self._unused("{security_protocol} has no SASL", "sasl_mechanism", *_LOGIN, *_OAUTH)
            self._unused("{security_protocol} has no SASL", *_OAUTH_EXTRAS)
        elif self.sasl_mechanism is None:
            raise inconsistent("{security_protocol} needs SASL, and {sasl_mechanism} is not set")
        elif self.sasl_mechanism == "OAUTHBEARER":
            self._needed(*_OAUTH)
            self._unused("{sasl_mechanism} is OAUTHBEARER", *_LOGIN)
            self._issuer_is_safe()
        else:
            self._needed(*_LOGIN)
            self._unused("{sasl_mechanism} is not OAUTHBEARER", *_OAUTH, *_OAUTH_EXTRAS)
        return self

    def _needed(self, *names: str) -> None:
        missing = [f"{{{name}}}" for name in names if not getattr(self, name)]
        if missing:
            raise inconsistent(f"{{sasl_mechanism}} needs {' and '.join(missing)}")

    def _unused(self, why: str, *names: str) -> None:
        for name in names:
            if getattr(self, name) is not None:
                raise inconsistent(f"{{{name}}} is set, but {why}")

    def _issuer_is_safe(self) -> None:
        """The client's secret is sent there: encrypted, or only within this machine."""
        try:
            url = urlsplit(self.oauth_token_url or "")
            scheme, host, user = url.scheme, url.hostname, url.username
        except ValueError:
            scheme, host, user = "", None, None
        if not host or not (scheme == "https" or (scheme == "http" and host in _LOOPBACK)):
            raise inconsistent("{oauth_token_url} is not an https address")
        if user is not None:
            raise inconsistent("{oauth_token_url} has a user in it; {oauth_client_id} names it")
        if ":" in (self.oauth_client_id or ""):
            raise inconsistent("{oauth_client_id} has a colon in it, which ends a user's name")
        self._proxy_is_safe(scheme)
        if self.oauth_ca_file is not None:
            try:
                TlsFiles(ca_file=self.oauth_ca_file)
            except ValueError:
                raise inconsistent("{oauth_ca_file} is not a readable PEM file") from None

    def _proxy_is_safe(self, scheme: str) -> None:
        """Without TLS a proxy reads the client's secret."""
        try:
            proxy = self.oauth_proxy
        except ValueError as error:
            raise inconsistent(f"{{oauth_proxy_url}} is environment, and {error}") from None
        if proxy and scheme == "http" and not is_loopback(urlsplit(proxy).hostname or ""):
            raise inconsistent("{oauth_proxy_url} would see the secret: {oauth_token_url} is http")
