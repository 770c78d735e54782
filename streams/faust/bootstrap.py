"""Waiting for the brokers' addresses before a consumer joins its group.

A broker that is just starting, or was cut off from its cluster, can answer a metadata request
without naming any broker. aiokafka accepts this answer; then the search for the group's coordinator
fails with an AssertionError, and the consumer never joins the group.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError

#: Seconds for which the brokers' addresses are waited for.
PATIENCE = 30.0

_PAUSE = 0.2

Bootstrap = Callable[[], Awaitable[None]]


def with_brokers(client: AIOKafkaClient, patience: float = PATIENCE) -> Bootstrap:
    """The bootstrap of a client, which ends only when at least one broker is known.

    Args:
        client: not started.
        patience: seconds after which the returned function raises `KafkaConnectionError`.
    """
    bootstrap: Bootstrap = client.bootstrap

    async def bootstrap_with_brokers() -> None:
        await bootstrap()
        try:
            async with asyncio.timeout(patience):
                while not client.cluster.brokers():
                    await asyncio.sleep(_PAUSE)
                    await client.force_metadata_update()
        except TimeoutError:
            raise KafkaConnectionError(
                f"{client.hosts} named no broker for {patience:g} s"
            ) from None

    return bootstrap_with_brokers
