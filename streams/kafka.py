"""One place that turns the settings into Kafka clients."""

from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from config.settings import KafkaSettings

#: Room for key, headers and framing beside the largest message.
_FRAMING_BYTES = 64 * 1024


def create_producer(settings: KafkaSettings, **overrides: Any) -> AIOKafkaProducer:
    """A producer whose acknowledgement means that all in-sync replicas have the message.

    Call it inside the running event loop, then ``start`` and ``stop`` it.

    Args:
        settings: where the broker is, and the largest message.
        overrides: arguments of `AIOKafkaProducer` to set differently.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "acks": "all",
        "max_request_size": settings.max_message_bytes + _FRAMING_BYTES,
        "request_timeout_ms": int(settings.request_timeout * 1000),
    }
    return AIOKafkaProducer(**(arguments | overrides))


def create_consumer(settings: KafkaSettings, *topics: str, **overrides: Any) -> AIOKafkaConsumer:
    """A plain consumer, for programs that watch topics; the agents use Faust's.

    Call it inside the running event loop, then ``start`` and ``stop`` it.

    Args:
        settings: where the broker is, and the largest message.
        topics: what to subscribe to.
        overrides: arguments of `AIOKafkaConsumer` to set differently.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "max_partition_fetch_bytes": settings.max_message_bytes + _FRAMING_BYTES,
        "request_timeout_ms": int(settings.request_timeout * 1000),
    }
    return AIOKafkaConsumer(*topics, **(arguments | overrides))
