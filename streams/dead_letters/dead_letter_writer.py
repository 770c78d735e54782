"""Dead letters: the original message with unchanged bytes, and the reason in its headers.

The headers are those of the contract: ``dlq_id dlq_reason dlq_error dlq_topic dlq_partition
dlq_offset dlq_timestamp dlq_attempts dlq_time``.
"""

import logging

from config.observability import metrics
from domain.events import utc_now
from domain.failures import Reject
from streams.clients.durable_producer import Publisher
from streams.contract.message import Message
from streams.contract.topics import Topics
from streams.dead_letters.dead_letter import (
    DLQ_PREFIX,
    attempts_before,
    dead_letter_id,
    first_timestamp,
    original_headers,
)

logger = logging.getLogger(__name__)

_LONGEST_ERROR = 1000

#: Key and headers up to this number of bytes are kept when the whole message does not fit.
_SMALL_BYTES = 16 * 1024


class DeadLetters:
    """Sends refused messages to ``<topic>.dlq``."""

    def __init__(self, publisher: Publisher, topics: Topics) -> None:
        """Send through ``publisher``, to the topics that ``topics`` names."""
        self._publisher = publisher
        self._topics = topics

    async def send(self, message: Message, reject: Reject, attempts: int) -> None:
        """Write a dead letter; returns when the broker has acknowledged it.

        A message that was compressed, or sent by a producer with higher limits, may be too large to
        be sent again. Then the dead letter has no value, and names the position of the original.

        Raises:
            Retry: the broker did not accept it.
        """
        topic = message.partition.topic
        reasons = _reason_headers(message, reject, attempts)
        try:
            await self._publisher.send(
                self._topics.dead_letter(topic),
                key=message.key,
                value=message.value,
                headers=[*original_headers(message.headers), *reasons],
            )
        except Reject as too_large:
            logger.warning("%s is kept without its value: %s", message.address, too_large)
            await self._send_without_value(message, reasons)
        metrics.DEAD_LETTERS.labels(topic=topic, reason=reject.reason).inc()
        logger.warning("%s is a dead letter: %s: %s", message.address, reject.reason, reject)

    async def _send_without_value(self, message: Message, reasons: list[tuple[str, bytes]]) -> None:
        originals = original_headers(message.headers)
        size = sum(len(name) + len(value or b"") for name, value in originals)
        left_out = (f"{DLQ_PREFIX}value_left_out", str(len(message.value)).encode())
        await self._publisher.send(
            self._topics.dead_letter(message.partition.topic),
            key=message.key if len(message.key or b"") <= _SMALL_BYTES else None,
            value=b"",
            headers=[*(originals if size <= _SMALL_BYTES else ()), *reasons, left_out],
        )


def _reason_headers(message: Message, reject: Reject, attempts: int) -> list[tuple[str, bytes]]:
    milliseconds = first_timestamp(message)
    originals = original_headers(message.headers)
    fields = {
        "id": str(dead_letter_id(message.partition, message.offset, milliseconds, originals)),
        "reason": reject.reason,
        "error": str(reject)[:_LONGEST_ERROR],
        "topic": message.partition.topic,
        "partition": str(message.partition.number),
        "offset": str(message.offset),
        "timestamp": str(milliseconds),
        "attempts": str(attempts + attempts_before(message.headers)),
        "time": utc_now().isoformat(),
    }
    return [
        (DLQ_PREFIX + name, text.encode(errors="backslashreplace")) for name, text in fields.items()
    ]
