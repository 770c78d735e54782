"""After a broker has lost its log, consumers continue at the beginning of the new log."""

import logging
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

logger = logging.getLogger(__name__)


async def rewind_shortened(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Seek to the beginning of partitions whose log is new, as after a loss of the broker's data.

    Not every broker reports that a consumer's position is after the end, and the embedded broker
    reports an end before the last batch. But only a new log has a lower end than before.

    Args:
        consumer: has its partitions.
        ends: the result of the previous call.

    Returns:
        The end of each partition as the broker reports it now.
    """
    assigned = consumer.assignment()
    current_ends: dict[TopicPartition, int] = (
        await consumer.end_offsets(assigned) if assigned else {}
    )
    for partition, end in current_ends.items():
        if end < ends.get(partition, end) and end < await consumer.position(partition):
            logger.warning(
                "the log of %s/%d is new: reading from its beginning",
                partition.topic,
                partition.partition,
            )
            await consumer.seek_to_beginning(partition)
    return current_ends
