"""Kafka connections that detect within seconds that no answer will come.

aiokafka uses one timeout for all answers: ``request_timeout``, which must be long enough for a
JoinGroup, because the broker holds it until all members have joined. After a network failure, or
after a firewall has dropped a connection, heartbeats, commits, fetches and produce requests waited
that long on dead connections, one after the other, although the broker was available again.

Here a connection that waits for an answer is closed if it receives nothing for `SILENCE_SECONDS`.
A slow connection is not closed: each received byte counts, and a large request gets the time that
it needs. The waiting requests get a retriable error, and aiokafka connects again.

A network failure affects all connections to a host: when one is found dead, those to the same
broker that have received nothing since are also closed, before each reaches its own timeout.
"""

import asyncio
import contextlib
import threading
import weakref
from time import monotonic
from typing import Any, ClassVar

import aiokafka.conn
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import JoinGroupRequest
from aiokafka.protocol.produce import ProduceRequest

from config.network.sockets import notice_dead_peer

#: The first byte of an answer arrives within this time, unless the broker may hold the request.
SILENCE_SECONDS = 6.0

#: Additional seconds for a request that the broker may hold (a JoinGroup until all members have
#: joined, a fetch until there is data, a produce request until it is replicated), after the longest
#: time that it may hold it.
HELD_MARGIN = 5.0

#: A request is sent at this speed or faster, in bytes per second.
_SLOWEST = 100_000.0

_LOOK_SECONDS = 0.5


class WatchedConnection(AIOKafkaConnection):  # type: ignore[misc]
    """A connection that is closed when an answer is due and nothing is received for too long."""

    _lock: ClassVar = threading.Lock()
    _all: ClassVar[weakref.WeakSet["WatchedConnection"]] = weakref.WeakSet()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._heard_at = self._last_heard = 0.0
        self._looked_at = 0.0
        self._received = 0
        self._patience = SILENCE_SECONDS
        self._sent_by = 0.0

    async def connect(self) -> Any:
        """Connect, with TLS and login, within the time of one answer.

        Raises:
            TimeoutError: it took longer.
        """
        async with asyncio.timeout(min(SILENCE_SECONDS, self._request_timeout)):
            connected = await super().connect()
        if self._writer is not None:
            notice_dead_peer(self._writer.get_extra_info("socket"))
        self._looked_at = monotonic()
        self._look_later(weakref.ref(self), self._loop)
        with self._lock:
            self._all.add(self)
        return connected

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """Send a request as aiokafka does, and note how long its answer may take."""
        now = monotonic()
        if not self._requests:
            self._heard_at = now
            self._patience = SILENCE_SECONDS
        if isinstance(request, ProduceRequest):
            self._sent_by = max(self._sent_by, now) + _size(request) / _SLOWEST
            # The leader waits for its replicas, up to 30 s for one that has failed. A batch that is
            # sent again in that time is stored twice, because the producer is not idempotent.
            held = request._timeout / 1000  # noqa: SLF001 - how long the broker may hold it
            self._patience = max(self._patience, held + HELD_MARGIN)
        elif isinstance(request, JoinGroupRequest):
            held = request._rebalance_timeout / 1000  # noqa: SLF001 - the same
            self._patience = max(self._patience, held + HELD_MARGIN)
        elif isinstance(request, FetchRequest):
            held = request._max_wait_ms / 1000  # noqa: SLF001 - the same
            self._patience = max(self._patience, held + HELD_MARGIN)
        return super().send(request, expect_response)

    def _handle_frame(self, frame: bytes) -> None:
        self._heard_at = self._last_heard = monotonic()
        super()._handle_frame(frame)

    @staticmethod
    def _look_later(
        connection: "weakref.ref[WatchedConnection]", loop: asyncio.AbstractEventLoop
    ) -> None:
        loop.call_later(_LOOK_SECONDS, WatchedConnection._look, connection, loop)

    @staticmethod
    def _look(reference: "weakref.ref[WatchedConnection]", loop: asyncio.AbstractEventLoop) -> None:
        connection = reference()
        if connection is None or connection._reader is None:  # noqa: SLF001 - our own
            return
        if connection._is_dead():  # noqa: SLF001
            connection._end_all()  # noqa: SLF001
            return
        WatchedConnection._look_later(reference, loop)

    def _end_all(self) -> None:
        """Close this connection and the others to this broker; each in its own loop.

        Those that have received something since then wait only `SILENCE_SECONDS` from now on.
        """
        since = self._heard_at
        with self._lock:
            others = [one for one in self._all if (one.host, one.port) == (self.host, self.port)]
        for one in others:
            one._patience = min(one._patience, SILENCE_SECONDS)  # noqa: SLF001
            if one._last_heard <= since:  # noqa: SLF001
                with contextlib.suppress(RuntimeError):  # its loop has ended
                    one._loop.call_soon_threadsafe(one._end)  # noqa: SLF001

    def _end(self) -> None:
        self.close(
            reason=CloseReason.CONNECTION_TIMEOUT,
            exc=TimeoutError("no sign of life from the broker"),
        )

    def _is_dead(self) -> bool:
        now = monotonic()
        # A process that was suspended has read nothing: received data may still be unread.
        late = now - self._looked_at - _LOOK_SECONDS
        self._looked_at = now
        if late > _LOOK_SECONDS:
            self._heard_at += late
        received = len(self._reader._buffer)  # noqa: SLF001 - part of an answer counts too
        if received != self._received:
            self._received, self._heard_at, self._last_heard = received, now, now
        if not self._requests:
            return False
        return now - max(self._heard_at, self._sent_by) > self._patience


def watch_connections() -> None:
    """Make all clients of this process use connections of this kind; harmless when repeated."""
    if not hasattr(aiokafka.conn, "AIOKafkaConnection"):
        raise RuntimeError("this release of aiokafka creates its connections elsewhere")
    aiokafka.conn.AIOKafkaConnection = WatchedConnection


def _size(request: ProduceRequest) -> int:
    topics = request._topics  # noqa: SLF001 - the only place of its bytes before it is sent
    return sum(len(records) for _, partitions in topics for _, records in partitions)
