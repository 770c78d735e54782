"""The Faust app: how it is configured, and how a batcher becomes one of its agents.

Faust does what it is good at: group membership, assignment, fetching, and committing offsets. What
its plain agents get wrong (acknowledging what was not done) is kept from them: the body of every
agent only hands messages to a `Batcher`, never raises and runs once (``concurrency=1``). Faust's
own acknowledgements are not used: `streams.processing.commit_tracker` says what is committed.
"""

from typing import Any, cast

import faust
from faust.tables import TableManager
from faust.types import StreamT

from config.settings import KafkaSettings, WorkerSettings
from streams.clients.tls_and_sasl import faust_credentials
from streams.contract.message import Message, Partition
from streams.contract.topics import Topics
from streams.faust.connections import watch_connections
from streams.faust.lenient_headers import take_any_header_name
from streams.faust.transport import SteeredTransport, steer
from streams.processing.batcher import Batcher

_FRAMING_BYTES = 64 * 1024

#: aiokafka leaves the group when nothing was fetched for so long. While a store is away nothing is,
#: and the partitions shall be held; whether a worker is dead is for its own watchdog to say. The
#: longest that fits the protocol's milliseconds.
_NEVER = (2**31 - 1) // 1000

#: What a member needs beyond finishing its work before it joins again: a commit, some round trips.
#: A member that has not joined by then is left out, and joins later.
_REJOIN_SECONDS = 5.0

#: The batcher takes in at once whatever a fetch brings, so Faust's own buffers never fill.
_FAUST_BUFFERS = 4


#: In Kafka's protocol.
_LOG_APPEND_TIME = 1


class _NoTables(TableManager):
    async def on_start(self) -> None:
        """Begin at once: Faust gives tables a second to be declared, and joins the group after."""
        await self._update_channels()
        await self.recovery.start()


class _App(faust.App):
    def _create_directories(self) -> None:
        """Make none: without tables nothing is kept, and a container's disk may be read-only."""


def create_app(role: str, kafka: KafkaSettings, workers: WorkerSettings) -> faust.App:
    """A Faust app for workers of one role; the role names the consumer group.

    Args:
        role: ``detect`` or ``identify``.
        kafka: where the broker is, and how to get in.
        workers: buffers and timeouts.
    """
    take_any_header_name()
    watch_connections()
    servers = kafka.bootstrap_servers.split(",")
    app = _App(
        Topics(kafka.topic_prefix).group(role),
        broker=[f"kafka://{server.strip()}" for server in servers],
        broker_credentials=faust_credentials(kafka),
        store="memory://",
        TableManager=_NoTables,
        web_enabled=False,
        topic_disable_leader=True,
        # The batcher drains itself, with a bound; Faust's own waiting has none.
        stream_wait_empty=False,
        stream_buffer_maxsize=workers.buffer_messages * _FAUST_BUFFERS,
        broker_max_poll_records=workers.buffer_messages,
        broker_max_poll_interval=_NEVER,
        broker_commit_interval=kafka.commit_interval,
        broker_session_timeout=kafka.session_timeout,
        broker_request_timeout=kafka.request_timeout,
        broker_heartbeat_interval=kafka.session_timeout / 10,
        broker_rebalance_timeout=workers.revoke_timeout + _REJOIN_SECONDS,
        consumer_max_fetch_size=kafka.max_message_bytes + _FRAMING_BYTES,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=workers.instance_id,
        key_serializer="raw",
        value_serializer="raw",
    )
    steer(app, kafka.fetch_max_wait, kafka.isolation_level)
    return app


def attach(app: faust.App, topic: str, batcher: Batcher) -> None:
    """Feed a topic's messages into a batcher.

    Args:
        app: the app to subscribe with.
        topic: what to consume.
        batcher: processes the messages, and knows which offsets may be committed.
    """

    async def feed(stream: StreamT[Any]) -> None:
        async for event in cast("faust.Stream[bytes]", stream).noack().events():
            batcher.admit(_message_of(event))

    transport = cast("SteeredTransport", app.transport)
    transport.has_room[topic] = lambda number: batcher.has_room(Partition(topic, number))
    transport.trackers[topic] = batcher.tracker
    channel = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw")
    app.agent(channel, name=f"feed-{topic}", concurrency=1)(feed)


def _message_of(event: Any) -> Message:
    """The event as ours. Faust keeps it until the next one comes; its bytes are taken away."""
    theirs = event.message
    message = Message(
        partition=Partition(theirs.topic, theirs.partition),
        offset=theirs.offset,
        key=theirs.key,
        value=theirs.value or b"",
        headers=tuple(theirs.headers or ()),
        timestamp=theirs.timestamp or 0.0,
        by_broker=theirs.timestamp_type == _LOG_APPEND_TIME,
    )
    theirs.value = event.value = None
    theirs.key = event.key = None
    theirs.headers, event.headers = (), {}
    return message
