"""Durable sending: a call returns when all in-sync replicas have the message."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from domain.failures import Fatal, Reject, Retry

Headers = Sequence[tuple[str, bytes]]


class Outgoing(NamedTuple):
    """A message to send; without a partition, the key decides the partition."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers
    partition: int | None = None


class Publisher:
    """Sends through a producer, and raises one error type for each kind of failure."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        """Send through ``producer``, which the caller starts and stops."""
        self._producer = producer

    async def send(self, topic: str, *, key: bytes | None, value: bytes, headers: Headers) -> None:
        """Send one message and wait until it is durable.

        Raises:
            Retry: the broker did not accept it, but may accept it later.
            Reject: ``too_large``; the broker will never accept it.
            Fatal: this client has no permission to write.
        """
        await self.send_all([Outgoing(topic, key, value, headers)])

    async def send_all(self, messages: Sequence[Outgoing]) -> None:
        """Send messages together, in order for each key, and wait until all are durable.

        Raises:
            Retry: the broker did not accept all of them; some may have been sent.
            Reject: ``too_large``; the broker will never accept one of them.
            Fatal: this client has no permission to write.
        """
        try:
            sent = [
                await self._producer.send(
                    message.topic,
                    message.value,
                    message.key,
                    message.partition,
                    None,
                    headers=list(message.headers),
                )
                for message in messages
            ]
            await asyncio.gather(*sent)
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            raise Reject("too_large", f"too large for the broker: {error}") from error
        except (TopicAuthorizationFailedError, ClusterAuthorizationFailedError) as error:
            topics = ", ".join(sorted({message.topic for message in messages}))
            raise Fatal(f"this client has no permission to write to {topics}") from error
        except (KafkaError, TimeoutError) as error:
            raise Retry(f"the broker did not accept a message: {error!r}") from error
