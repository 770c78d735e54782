"""Consumers of a broker that has lost its log go on at the beginning of the new one."""

import logging
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

logger = logging.getLogger(__name__)


async def rewind_shortened(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Read partitions that begin again from their beginning, as after a loss of the broker's log.

    Not every broker tells a consumer that its position lies past the end, and the embedded one
    tells an end that lies before the last batch; but only of a new log does it tell a lower one
    than before.

    Args:
        consumer: assigned.
        ends: what this returned at the last look.

    Returns:
        The end of each partition as the broker tells it now.
    """
    assigned = consumer.assignment()
    told: dict[TopicPartition, int] = await consumer.end_offsets(assigned) if assigned else {}
    for partition, end in told.items():
        if end < ends.get(partition, end) and end < await consumer.position(partition):
            logger.warning("%s/%d begins again", partition.topic, partition.partition)
            await consumer.seek_to_beginning(partition)
    return told
