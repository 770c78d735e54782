"""One place that turns the settings into Kafka clients."""

from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from config.settings import KafkaSettings
from streams.clients.tls_and_sasl import client_security
from streams.faust.connections import watch_connections
from streams.faust.lenient_headers import take_any_header_name

#: Bytes for key, headers and framing in addition to the largest message.
_FRAMING_BYTES = 64 * 1024


def create_producer(settings: KafkaSettings, **overrides: Any) -> AIOKafkaProducer:
    """A producer whose acknowledgement means that all in-sync replicas have the message.

    Call it inside the running event loop, then ``start`` and ``stop`` it.

    Args:
        settings: where the broker is, how to get in, and the largest message.
        overrides: arguments of `AIOKafkaProducer` to set differently.

    Raises:
        OSError: a file of the TLS settings is gone since the start.
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
        settings: where the broker is, how to get in, and the largest message.
        topics: what to subscribe to.
        overrides: arguments of `AIOKafkaConsumer` to set differently.

    Raises:
        OSError: a file of the TLS settings is gone since the start.
    """
    arguments = _connection(settings) | {
        "max_partition_fetch_bytes": settings.max_message_bytes + _FRAMING_BYTES,
        "isolation_level": settings.isolation_level,
    }
    take_any_header_name()
    return AIOKafkaConsumer(*topics, **(arguments | overrides))


def create_admin(settings: KafkaSettings, **overrides: Any) -> AIOKafkaAdminClient:
    """A client that asks about topics and groups, and makes topics.

    Call it inside the running event loop, then ``start`` and ``close`` it.

    Args:
        settings: where the broker is, and how to get in.
        overrides: arguments of `AIOKafkaAdminClient` to set differently.

    Raises:
        OSError: a file of the TLS settings is gone since the start.
    """
    return AIOKafkaAdminClient(**(_connection(settings) | overrides))


def _connection(settings: KafkaSettings) -> dict[str, Any]:
    watch_connections()
    return {
        "bootstrap_servers": settings.bootstrap_servers,
        "request_timeout_ms": int(settings.request_timeout * 1000),
        **client_security(settings),
    }
