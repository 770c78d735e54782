"""Who owns which partitions: what Kafka says of a consumer group."""

import asyncio
from collections import defaultdict

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from config.settings import KafkaSettings
from streams.clients.client_factory import create_admin

_POLL_SECONDS = 0.5


async def shares(kafka: KafkaSettings, group: str, topic: str) -> dict[str, list[int]]:
    """Partitions of a topic by member of a group; empty while the group is being formed."""
    admin = create_admin(kafka)
    await admin.start()
    try:
        (answer,) = await admin.describe_consumer_groups([group])
    finally:
        await admin.close()
    (described,) = answer.to_object()["groups"]
    owned: dict[str, list[int]] = defaultdict(list)
    if described["state"] != "Stable":
        return owned
    for member in described["members"]:
        assignment = ConsumerProtocolMemberAssignment.decode(member["member_assignment"])
        owned[member["member_id"]] += [
            number for name, numbers in assignment.assignment if name == topic for number in numbers
        ]
    return owned


async def until_shared(
    kafka: KafkaSettings, group: str, topic: str, members: int, seconds: float
) -> dict[str, list[int]]:
    """Wait until so many members own the topic's partitions, each at least one.

    Raises:
        TimeoutError: it took too long.
    """
    async with asyncio.timeout(seconds):
        while True:
            owned = await shares(kafka, group, topic)
            if len(owned) == members and all(owned.values()):
                return owned
            await asyncio.sleep(_POLL_SECONDS)
