"""Creates all Kafka clients from the settings."""

from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from config.settings import KafkaSettings
from streams.clients.tls_and_sasl import client_security
from streams.faust.connections import watch_connections
from streams.faust.lenient_headers import accept_any_header_name

#: Bytes for key, headers and framing in addition to the largest message.
_FRAMING_BYTES = 64 * 1024


def create_producer(settings: KafkaSettings, **overrides: Any) -> AIOKafkaProducer:
    """A producer whose acknowledgement means that all in-sync replicas have the message.

    Call it inside the running event loop, then ``start`` and ``stop`` it.

    Args:
        settings: address and credentials of the broker, and the size of the largest message.
        overrides: arguments of `AIOKafkaProducer` that replace the usual ones.

    Raises:
        OSError: a file of the TLS settings no longer exists.
    """
    arguments = _connection(settings) | {
        "acks": "all",
        "max_request_size": settings.max_message_bytes + _FRAMING_BYTES,
    }
    return AIOKafkaProducer(**(arguments | overrides))


def create_consumer(settings: KafkaSettings, *topics: str, **overrides: Any) -> AIOKafkaConsumer:
    """A plain consumer, for programs that watch topics; the agents use Faust's.

    Call it inside the running event loop, then ``start`` and ``stop`` it.

    Args:
        settings: address and credentials of the broker, and the size of the largest message.
        topics: what to subscribe to.
        overrides: arguments of `AIOKafkaConsumer` that replace the usual ones.

    Raises:
        OSError: a file of the TLS settings no longer exists.
    """
    arguments = _connection(settings) | {
        "max_partition_fetch_bytes": settings.max_message_bytes + _FRAMING_BYTES,
        "isolation_level": settings.isolation_level,
    }
    accept_any_header_name()
    return AIOKafkaConsumer(*topics, **(arguments | overrides))


def create_admin(settings: KafkaSettings, **overrides: Any) -> AIOKafkaAdminClient:
    """A client that describes topics and groups, and creates topics.

    Call it inside the running event loop, then ``start`` and ``close`` it.

    Args:
        settings: address and credentials of the broker.
        overrides: arguments of `AIOKafkaAdminClient` that replace the usual ones.

    Raises:
        OSError: a file of the TLS settings no longer exists.
    """
    return AIOKafkaAdminClient(**(_connection(settings) | overrides))


def _connection(settings: KafkaSettings) -> dict[str, Any]:
    watch_connections()
    return {
        "bootstrap_servers": settings.bootstrap_servers,
        "request_timeout_ms": int(settings.request_timeout * 1000),
        **client_security(settings),
    }


def set_attribute(part: object, name: str, value: object) -> None:
    """Set an attribute of a client, or of a part of it, for which aiokafka has no setting.

    Raises:
        RuntimeError: this release of aiokafka has no such attribute.
    """
    if not hasattr(part, name):
        raise RuntimeError(f"this release of aiokafka has no {name}")
    setattr(part, name, value)
