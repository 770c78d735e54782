"""Uploads as a client of the pipeline: publish photos, await what it answers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any
from uuid import UUID

from domain.events import EventKind, ImageEvent
from domain.refusals.refusal_codes import is_final
from domain.store_rows import LedgerRow, Outcome
from domain.upload_answers import UploadAnswer, decode_answer
from sinks.cache.answer_waiter import AnswerWaiter
from sinks.main.main_store import Records
from sinks.store_errors import StoreUnavailable
from streams.clients.image_producer import ImageProducer, PublishError

logger = logging.getLogger(__name__)

#: When it is found out whether Redis takes answers, and how often the ledger is looked at where it
#: does not, in seconds.
_FIRST_LOOK, _NEXT_LOOK = 0.5, 0.5

#: The same where it does: a worker that could not reach it leaves it alone for a while, and answers
#: of that while are in the ledger only.
_CALM_LOOK = 2.0


class UploadClient:
    """Publishes uploads and awaits their answers; any number at once, none on a thread."""

    def __init__(  # noqa: PLR0913 - the clients, and what each needs
        self,
        producer: ImageProducer,
        waiter: AnswerWaiter,
        records: Records,
        *,
        publish_timeout: float,
        model: str | None,
        serving: Callable[[], Awaitable[str | None]] | None = None,
    ) -> None:
        """Use clients that the caller opens and closes.

        Args:
            producer: sends the photos; connected when first needed.
            waiter: receives the answers.
            records: the ledger, where every answer is kept.
            publish_timeout: how long the broker may take to acknowledge, in seconds.
            model: id of the embedder of the settings; None when it is not known here.
            serving: reads the id of the embedder that serves; it returns None where the settings
                decide.
        """
        self._producer = producer
        self._waiter = waiter
        self._records = records
        self._publish_timeout = publish_timeout
        self._model = self._of_settings = model
        self._serving = serving
        self._connecting = asyncio.Lock()

    async def publish(self, uploads: Sequence[tuple[ImageEvent, bytes]]) -> None:
        """Send photos and wait until all are acknowledged.

        Raises:
            PublishError: the broker did not accept them; some may have gone out.
            StoreUnavailable: the ledger is unavailable; or Redis is, and may keep an old failure.
        """
        await self._know_model()
        enrolments = [event.uuid for event, _ in uploads if event.kind is EventKind.ENROL]
        earlier = await self._records.uploads(enrolments) if enrolments else []
        # The same photo is the same upload: an answer of another model, a refusal by rules that may
        # have changed, or a failure must not answer it now.
        outdated = [row for row in earlier if _is_outdated(row, self._model)]
        await self._waiter.forget({row.key for row in outdated})
        await self._records.forget_uploads([row for row in outdated if _is_refused(row)])
        await self._send(uploads)
        # Not before: until the broker has the photo, its state is that it failed.
        await self._records.forget_uploads(
            [row for row in outdated if row.outcome is Outcome.FAILED]
        )

    async def _send(self, uploads: Sequence[tuple[ImageEvent, bytes]]) -> None:
        try:
            async with asyncio.timeout(self._publish_timeout):
                async with self._connecting:
                    await self._producer.start()
                await _all_of(self._producer.deliver(event, photo) for event, photo in uploads)
        except TimeoutError as error:
            raise PublishError(
                f"the broker did not accept an image within {self._publish_timeout:g} s"
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

    async def row_of(self, event_uuid: UUID) -> LedgerRow | None:
        """The ledger's row of an upload: of the model in force, if there is one, else the latest.

        Raises:
            StoreUnavailable: the ledger is unavailable.
        """
        await self._know_model()
        return await self._records.upload(event_uuid, self._model)

    async def model_in_force(self) -> str | None:
        """Id of the embedder that serves, or of the settings; None when it is not known here."""
        await self._know_model()
        return self._model

    async def _know_model(self) -> None:
        """Read which embedder is in force; a database that is unavailable changes nothing."""
        if self._serving is not None:
            with suppress(StoreUnavailable):
                self._model = await self._serving() or self._of_settings

    async def replaced_by(self, event: ImageEvent) -> LedgerRow | None:
        """Of an upload not yet answered, the row of another model that its answer will replace.

        Raises:
            StoreUnavailable: the ledger is unavailable.
        """
        row = await self.row_of(event.uuid) if event.kind is EventKind.ENROL else None
        return row if row and self._is_of_another_model(row, event) else None

    def _is_of_another_model(self, row: LedgerRow, event: ImageEvent) -> bool:
        """Whether a row says what another model than the one in force once found.

        Workers may run a model that this process does not know: what they say now, counts.
        """
        return self._model not in {None, row.model} and row.processed_at < event.captured_at

    async def _answer(self, event: ImageEvent, seconds: float) -> UploadAnswer | None:
        """From Redis in time, or from the ledger, which is looked at more often without Redis."""
        until, pause, away = monotonic() + seconds, _FIRST_LOOK, False
        while True:
            left = max(0.0, until - monotonic())
            try:
                payload = await self._waiter.wait(event.key, min(pause, left))
                if payload is None:
                    await self._waiter.probe()
                    pause = _CALM_LOOK
            except StoreUnavailable as error:
                if not away:
                    logger.warning("looking for the answer in the ledger: %s", error)
                payload, pause, away = None, _NEXT_LOOK, True
            ended = monotonic() >= until
            if payload is None:
                payload = await self._from_ledger(event, needed=away or ended)
            if payload is not None:
                return decode_answer(payload)
            if ended:
                return None

    async def _from_ledger(self, event: ImageEvent, *, needed: bool) -> bytes | None:
        """The answer, if it is there.

        Raises:
            StoreUnavailable: the ledger is unavailable, where it is needed now.
        """
        try:
            row = await self.row_of(event.uuid)
        except StoreUnavailable:
            if needed:
                raise
            return None
        return row.answer if row and not self._is_of_another_model(row, event) else None


def _is_outdated(row: LedgerRow, model: str | None) -> bool:
    """Whether what the ledger says of a photo is no answer to the same photo, sent in again."""
    other_model = model is not None and row.model != model
    return other_model or row.outcome is Outcome.FAILED or _is_refused(row)


def _is_refused(row: LedgerRow) -> bool:
    """Whether it was refused for more than its bytes."""
    if row.outcome is not Outcome.REFUSED or row.answer is None:
        return False
    answer = decode_answer(row.answer)
    return answer is not None and not is_final(answer.code)


async def _all_of(deliveries: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all to their end, then raise the first failure."""
    outcomes = await asyncio.gather(*deliveries, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
