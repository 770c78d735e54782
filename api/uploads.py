"""Uploads as a client of the pipeline: publish photos, await what it answers."""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from sinks.answers import AnswerWaiter
from sinks.errors import StoreUnavailable
from sinks.records import Records
from streams.answers import UploadAnswer, decode_answer
from streams.events import EventKind, ImageEvent
from streams.images import ImageProducer, PublishError

logger = logging.getLogger(__name__)


class UploadClient:
    """Publishes uploads and awaits their answers; any number at once, none on a thread."""

    def __init__(
        self,
        producer: ImageProducer,
        waiter: AnswerWaiter,
        records: Records,
        *,
        publish_timeout: float,
    ) -> None:
        """Use what somebody else opens and closes.

        Args:
            producer: sends the photos; connected when first needed.
            waiter: hears the answers.
            records: the ledger, where every answer is kept.
            publish_timeout: how long the broker may take to acknowledge, in seconds.
        """
        self._producer = producer
        self._waiter = waiter
        self._records = records
        self._publish_timeout = publish_timeout
        self._connecting = asyncio.Lock()

    async def publish(self, uploads: Sequence[tuple[ImageEvent, bytes]]) -> None:
        """Send photos and wait until all are acknowledged.

        Raises:
            PublishError: the broker did not take them; some may have gone out.
            StoreUnavailable: the ledger is away; or Redis is, and may keep an old failure.
        """
        enrolments = [event.uuid for event, _ in uploads if event.kind is EventKind.ENROL]
        failed = await self._records.failures(enrolments) if enrolments else []
        # The same photo is the same upload: that it was given up before must not answer it now.
        await self._waiter.forget({row.key for row in failed})
        await self._send(uploads)
        # Not before: until the broker has the photo, that it was given up is the state it is in.
        await self._records.forget_failures(failed)

    async def _send(self, uploads: Sequence[tuple[ImageEvent, bytes]]) -> None:
        try:
            async with asyncio.timeout(self._publish_timeout):
                async with self._connecting:
                    await self._producer.start()
                await _all_of(self._producer.deliver(event, photo) for event, photo in uploads)
        except TimeoutError as error:
            raise PublishError(
                f"the broker did not take an image within {self._publish_timeout:g} s"
            ) from error

    async def answers(
        self, events: Sequence[ImageEvent], seconds: float
    ) -> list[UploadAnswer | None]:
        """Wait for what the pipeline answers to uploads, in their order.

        Args:
            events: the uploads.
            seconds: how long to wait for all of them together; 0 not at all.

        Returns:
            The answers; None for each that did not come in time.
        """
        if seconds <= 0:
            return [None] * len(events)
        return list(await asyncio.gather(*(self._answer(event, seconds) for event in events)))

    async def ask(
        self, uploads: Sequence[tuple[ImageEvent, bytes]], seconds: float
    ) -> list[UploadAnswer | None]:
        """`publish`, then `answers`."""
        await self.publish(uploads)
        return await self.answers([event for event, _ in uploads], seconds)

    async def _answer(self, event: ImageEvent, seconds: float) -> UploadAnswer | None:
        """From Redis in time; else, should Redis be away or have lost it, from the ledger."""
        try:
            payload = await self._waiter.wait(event.key, seconds)
        except StoreUnavailable as error:
            logger.warning("looking for the answer in the ledger: %s", error)
            payload = None
        if payload is None:
            row = await self._records.upload(event.uuid)
            payload = row.answer if row is not None else None
        return decode_answer(payload) if payload is not None else None


async def _all_of(deliveries: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all to their end, then raise the first failure."""
    outcomes = await asyncio.gather(*deliveries, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
