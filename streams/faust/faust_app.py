"""The Faust app: how it is configured, and how a batcher becomes one of its agents.

Faust manages group membership, assignment and fetching, and commits offsets. Plain Faust agents
acknowledge messages that were not processed. So the body of every agent here only passes messages
to a `Batcher`, never raises and runs once (``concurrency=1``), and Faust's own acknowledgements are
not used: `streams.processing.commit_tracker` decides what is committed.
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
from streams.faust.lenient_headers import accept_any_header_name
from streams.faust.transport import WorkerTransport, install_transport
from streams.processing.batcher import Batcher

_FRAMING_BYTES = 64 * 1024

#: aiokafka leaves the group if nothing is fetched for this time. While a store is unavailable
#: nothing is fetched, but the worker must keep its partitions; a worker that hangs is detected by
#: its own watchdog. This is the longest time that the protocol's milliseconds can express.
_MAX_POLL_INTERVAL = (2**31 - 1) // 1000

#: The time between the end of a member's work and its JoinGroup: a commit, some round trips. A
#: member that has not joined by then is left out, and joins later.
_REJOIN_SECONDS = 5.0

#: The batcher accepts all messages of a fetch at once, so Faust's own buffers never fill.
_FAUST_BUFFERS = 4


#: The value in Kafka's protocol.
_LOG_APPEND_TIME = 1


class _NoTables(TableManager):
    async def on_start(self) -> None:
        """Start at once: Faust waits a second for tables before it joins the group."""
        await self._update_channels()
        await self.recovery.start()


class _App(faust.App):
    def _create_directories(self) -> None:
        """Create none: there are no tables to store, and a container's disk may be read-only."""


def create_app(role: str, kafka: KafkaSettings, workers: WorkerSettings) -> faust.App:
    """A Faust app for workers of one role; the role names the consumer group.

    Args:
        role: one of `streams.contract.topics.ROLES`.
        kafka: address and credentials of the broker.
        workers: buffers and timeouts.
    """
    accept_any_header_name()
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
        # The batcher drains with a time limit; Faust's own wait has none.
        stream_wait_empty=False,
        stream_buffer_maxsize=workers.buffer_messages * _FAUST_BUFFERS,
        broker_max_poll_records=workers.buffer_messages,
        broker_max_poll_interval=_MAX_POLL_INTERVAL,
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
    install_transport(app, kafka.fetch_max_wait, kafka.isolation_level)
    return app


def attach(app: faust.App, topic: str, batcher: Batcher) -> None:
    """Pass a topic's messages to a batcher.

    Args:
        app: the app to subscribe with.
        topic: the topic to consume.
        batcher: processes the messages, and knows which offsets may be committed.
    """

    async def feed(stream: StreamT[Any]) -> None:
        async for event in cast("faust.Stream[bytes]", stream).noack().events():
            batcher.admit(_message_of(event))

    transport = cast("WorkerTransport", app.transport)
    transport.has_room[topic] = lambda number: batcher.has_room(Partition(topic, number))
    transport.trackers[topic] = batcher.tracker
    channel = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw")
    app.agent(channel, name=f"feed-{topic}", concurrency=1)(feed)


def _message_of(event: Any) -> Message:
    """The message of an event. Faust keeps the event until the next one, so it loses its bytes."""
    original = event.message
    message = Message(
        partition=Partition(original.topic, original.partition),
        offset=original.offset,
        key=original.key,
        value=original.value or b"",
        headers=tuple(original.headers or ()),
        timestamp=original.timestamp or 0.0,
        by_broker=original.timestamp_type == _LOG_APPEND_TIME,
    )
    original.value = event.value = None
    original.key = event.key = None
    original.headers, event.headers = (), {}
    return message
