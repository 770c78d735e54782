"""Dead letters: the original message, byte for byte, with the reason beside it.

The headers are those of the contract: ``dlq_id dlq_reason dlq_error dlq_topic dlq_partition
dlq_offset dlq_timestamp dlq_attempts dlq_time``.
"""

import logging

from config.observability import metrics
from domain.events import utc_now
from domain.failures import Reject
from streams.clients.durable_producer import Publisher
from streams.contract.message import Delivery
from streams.contract.topics import Topics
from streams.dead_letters.dead_letter import (
    DLQ_PREFIX,
    attempts_before,
    first_timestamp,
    letter_id,
    original_headers,
)

logger = logging.getLogger(__name__)

_LONGEST_ERROR = 1000

#: Key and headers of at most so many bytes are kept where the whole message does not fit.
_SMALL_BYTES = 16 * 1024


class DeadLetters:
    """Sends refused messages to ``<topic>.dlq``."""

    def __init__(self, publisher: Publisher, topics: Topics) -> None:
        """Send through ``publisher``, to the topics that ``topics`` names."""
        self._publisher = publisher
        self._topics = topics

    async def send(self, delivery: Delivery, reject: Reject, attempts: int) -> None:
        """Keep a message; returns when the broker has acknowledged it.

        What came in compressed, or from a producer with higher limits, may be too large to be
        sent again. Then the letter has no value, and says where the original lies.

        Raises:
            Retry: the broker did not take it.
        """
        topic = delivery.partition.topic
        reasons = _reason_headers(delivery, reject, attempts)
        try:
            await self._publisher.send(
                self._topics.dead_letter(topic),
                key=delivery.key,
                value=delivery.value,
                headers=[*original_headers(delivery.headers), *reasons],
            )
        except Reject as too_large:
            logger.warning("%s is kept without its value: %s", delivery.address, too_large)
            await self._send_without_value(delivery, reasons)
        metrics.DEAD_LETTERS.labels(topic=topic, reason=reject.reason).inc()
        logger.warning("%s is a dead letter: %s: %s", delivery.address, reject.reason, reject)

    async def _send_without_value(
        self, delivery: Delivery, reasons: list[tuple[str, bytes]]
    ) -> None:
        originals = original_headers(delivery.headers)
        size = sum(len(name) + len(value or b"") for name, value in originals)
        left_out = (f"{DLQ_PREFIX}value_left_out", str(len(delivery.value)).encode())
        await self._publisher.send(
            self._topics.dead_letter(delivery.partition.topic),
            key=delivery.key if len(delivery.key or b"") <= _SMALL_BYTES else None,
            value=b"",
            headers=[*(originals if size <= _SMALL_BYTES else ()), *reasons, left_out],
        )


def _reason_headers(delivery: Delivery, reject: Reject, attempts: int) -> list[tuple[str, bytes]]:
    milliseconds = first_timestamp(delivery)
    originals = original_headers(delivery.headers)
    fields = {
        "id": str(letter_id(delivery.partition, delivery.offset, milliseconds, originals)),
        "reason": reject.reason,
        "error": str(reject)[:_LONGEST_ERROR],
        "topic": delivery.partition.topic,
        "partition": str(delivery.partition.number),
        "offset": str(delivery.offset),
        "timestamp": str(milliseconds),
        "attempts": str(attempts + attempts_before(delivery.headers)),
        "time": utc_now().isoformat(),
    }
    return [
        (DLQ_PREFIX + name, text.encode(errors="backslashreplace")) for name, text in fields.items()
    ]
