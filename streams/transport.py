"""Faust's Kafka transport with what it lacks: a fetch wait to set, flow control, a last commit.

Faust asks the broker to hold a fetch for 1.5 s when there is nothing new, and offers no setting.
Apache Kafka answers as soon as there is something; the embedded broker looks again only after
half of that time, which would be the latency of every frame.

When an agent's buffer is full, Faust blocks the one loop that fetches for all topics: frames that
wait for a store would hold the uploads, and aiokafka, which takes a consumer that does not fetch
for a dead one, leaves the group after ``max_poll_interval``. Here the worker says for each
partition whether it wants more, and only those are asked for.

When partitions are revoked, Faust first drops its list of what was acknowledged and then says so:
what was done since the last commit would be done again by the next owner. Here the worker hears of
it while it can still commit.

When the broker does not answer, Faust's consumer never ends: it would find the coordinator, commit
and leave the group first. Here each of these has a bound, and the broker finds out by itself.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import aiokafka
import faust
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP

logger = logging.getLogger(__name__)

#: The last commit before a consumer ends may take so long; the worker has committed before it.
_LAST_COMMIT_SECONDS = 1.0

#: Leaving the group and closing the connections may take so long.
_LEAVE_SECONDS = 4.0

#: So soon it is looked again whether a full partition has room, in seconds.
_LOOK_AGAIN = 0.02

HasRoom = Callable[[int], bool]
BeforeRevoked = Callable[[], Awaitable[None]]
BeforeAssigned = Callable[[], None]


async def _within(seconds: float, work: Awaitable[None], what: str) -> None:
    """Wait for a part of the end, but not for a broker that does not answer."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        logger.warning("%s was cut off after %.0f s: the broker does not answer", what, seconds)


async def _nothing_to_finish() -> None:
    pass


def _nothing_to_begin() -> None:
    pass


class SteeredTransport(Transport):
    """The transport of the workers' apps.

    Attributes:
        has_room: by topic, says of a partition's number whether more of it is wanted. Topics that
            are not here are always fetched.
        before_revoked: awaited while all that was acknowledged can still be committed: before
            Faust tells anybody of a revocation, it drops what it has not committed yet.
        before_assigned: called before any message of a new assignment is fetched.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.has_room: dict[str, HasRoom] = {}
        self.before_revoked: BeforeRevoked = _nothing_to_finish
        self.before_assigned: BeforeAssigned = _nothing_to_begin

    def wants(self, tp: TP) -> bool:
        """Whether more messages of a partition are wanted now."""
        has_room = self.has_room.get(tp.topic)
        return has_room is None or has_room(tp.partition)


class _BoundedThread(AIOKafkaConsumerThread):
    async def on_thread_stop(self) -> None:
        await _within(_LEAVE_SECONDS, super().on_thread_stop(), "leaving the group")


class _BoundedConsumer(Consumer):
    async def on_stop(self) -> None:
        await _within(_LAST_COMMIT_SECONDS, super().on_stop(), "the last commit")


def steer(app: faust.App, fetch_wait: float) -> None:
    """Give the app its transport.

    Args:
        app: whose consumer is steered.
        fetch_wait: longest that the broker holds an empty fetch, in seconds.
    """
    wait_ms = max(1, int(fetch_wait * 1000))

    class _Thread(_BoundedThread):
        def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
            consumer = super()._create_worker_consumer(transport)
            # aiokafka reads this attribute when the consumer is started.
            if not hasattr(consumer, "_fetch_max_wait_ms"):
                raise RuntimeError("this release of aiokafka keeps its fetch wait elsewhere")
            consumer._fetch_max_wait_ms = wait_ms  # noqa: SLF001 - the reason for this module
            return consumer

    class _Consumer(_BoundedConsumer):
        transport: SteeredTransport

        def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
            return _Thread(self, loop=self.loop, beacon=self.beacon)

        async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
            active = active_partitions or set()
            wanted = {tp for tp in active if self.transport.wants(tp)}
            if not wanted:
                await asyncio.sleep(_LOOK_AGAIN)
                return {}
            if len(wanted) < len(active):
                timeout = min(timeout, _LOOK_AGAIN)
            return await super()._getmany(wanted, timeout)

        async def on_partitions_revoked(self, revoked: set[TP]) -> None:
            try:
                if revoked:
                    await self.transport.before_revoked()
            finally:  # whatever became of the commit: the partitions are another's now
                await super().on_partitions_revoked(revoked)

        async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
            self.transport.before_assigned()
            await super().on_partitions_assigned(assigned, generation_id)

    class _Transport(SteeredTransport):
        Consumer: ClassVar[Any] = _Consumer

    app.transport = _Transport(app.conf.broker_consumer, app)
