"""Consumers of a broker that has lost its log continue at the beginning of the new one."""

import logging
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

logger = logging.getLogger(__name__)


async def rewind_shortened(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Read partitions that begin again from their beginning, as after a loss of the broker's log.

    Not every broker reports that a consumer's position is past the end, and the embedded broker
    reports an end before the last batch; but only a new log has a lower end than before.

    Args:
        consumer: assigned.
        ends: what this returned at the last look.

    Returns:
        The end of each partition as the broker reports it now.
    """
    assigned = consumer.assignment()
    told: dict[TopicPartition, int] = await consumer.end_offsets(assigned) if assigned else {}
    for partition, end in told.items():
        if end < ends.get(partition, end) and end < await consumer.position(partition):
            logger.warning("%s/%d begins again", partition.topic, partition.partition)
            await consumer.seek_to_beginning(partition)
    return told
