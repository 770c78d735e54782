"""The life of a stage: the calls that it gets when partitions are assigned and revoked."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from domain.failures import Fatal, Retry
from streams.contract.message import Partition
from streams.processing.batcher import Batcher
from streams.processing.lasting_retries import LastingRetries
from streams.processing.retry_pauses import or_retry
from streams.processing.retry_policy import RetryPolicy
from streams.processing.stage import Stage

logger = logging.getLogger(__name__)

#: Time limit of `Stage.revoked`, in seconds: the whole group waits for it.
_FORGET_SECONDS = 5.0


class StageLife:
    """Calls one stage for the partitions of one topic, in the order that `Stage` promises."""

    def __init__(  # noqa: PLR0913 - the parts of a life, named once, where the worker is built
        self,
        topic: str,
        stage: Stage,
        batcher: Batcher,
        *,
        policy: RetryPolicy,
        lasting_retries: LastingRetries,
        on_fatal: Callable[[Fatal], None],
    ) -> None:
        """Start without partitions.

        Args:
            topic: the topic of the partitions.
            stage: the stage to call.
            batcher: starts no batch until the stage is ready.
            policy: how long to wait before `Stage.assigned` is called again.
            lasting_retries: records that the call is being retried.
            on_fatal: stops the worker.
        """
        self._topic = topic
        self._stage = stage
        self._batcher = batcher
        self._policy = policy
        self._lasting_retries = lasting_retries
        self._on_fatal = on_fatal
        self._partitions: frozenset[Partition] = frozenset()
        self._preparing: asyncio.Task[None] | None = None

    def assign(self, partitions: Iterable[Partition]) -> None:
        """Accept messages, and start batches as soon as the stage is ready.

        Does not wait for the stage: while its store is unavailable the worker stays in the group.
        """
        if self._preparing is not None:
            self._preparing.cancel()
        self._partitions = frozenset(one for one in partitions if one.topic == self._topic)
        self._batcher.ready.clear()
        self._batcher.reopen()
        self._preparing = asyncio.create_task(self._prepare(sorted(self._partitions)))

    async def revoke(self, partitions: Iterable[Partition]) -> None:
        """Take partitions from the stage; running batches with their messages are cancelled."""
        revoked = self._partitions.intersection(partitions)
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.gather(self._preparing, return_exceptions=True)
            self._preparing = None
        await self._batcher.forget(revoked)
        self._partitions -= revoked
        if not revoked:
            return
        try:
            async with asyncio.timeout(_FORGET_SECONDS):
                await or_retry(self._stage.revoked(sorted(revoked)))
        except Exception:
            # Another worker gets the partitions in any case.
            logger.exception("the stage of %s did not drop its partitions", self._topic)

    async def end(self) -> None:
        """Take all partitions from the stage."""
        await self.revoke(self._partitions)

    async def _prepare(self, partitions: list[Partition]) -> None:
        attempt = 0
        try:
            while partitions:
                attempt += 1
                try:
                    await or_retry(self._stage.assigned(partitions))
                    break
                except Retry as failure:
                    self._lasting_retries.note(self, self._topic, failure)
                    pause = self._policy.pause(attempt)
                    logger.warning(
                        "the stage of %s is not ready for its partitions and tries again in "
                        "%.1f s: %s",
                        self._topic,
                        pause,
                        failure,
                    )
                    await asyncio.sleep(pause)
        except Fatal as failure:
            self._on_fatal(failure)
        except Exception as error:
            logger.exception("the stage of %s cannot get ready", self._topic)
            self._on_fatal(Fatal(f"the stage of {self._topic} cannot get ready: {error!r}"))
        else:
            self._batcher.ready.set()
        finally:
            self._lasting_retries.over(self)
