"""Kafka connections that owe an answer and are silent are closed; slow ones are not."""

import asyncio
import struct
from contextlib import asynccontextmanager
from time import monotonic

import pytest
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest

from streams.faust import connections
from streams.faust.connections import WatchedConnection, watch_connections

_API_VERSIONS = 18
_FETCH, _FETCH_VERSION = 1, 4
_HIGHEST_KEY = 60


class Broker:
    """Says which requests it knows, and of the others what a test wants."""

    def __init__(self):
        self.answer = None
        self.heard = 0

    async def serve(self, reader, writer):
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                key, _version, correlation = struct.unpack(
                    ">hhi", (await reader.readexactly(size))[:8]
                )
                if key == _API_VERSIONS:
                    known = b"".join(
                        struct.pack(">hhh", n, 0, _FETCH_VERSION if n == _FETCH else 0)
                        for n in range(_HIGHEST_KEY)
                    )
                    body = struct.pack(">hi", 0, _HIGHEST_KEY) + known
                    writer.write(struct.pack(">ii", len(body) + 4, correlation) + body)
                    continue
                self.heard += 1
                if self.answer is not None:
                    await self.answer(writer, correlation)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@pytest.fixture
def patience(monkeypatch):
    monkeypatch.setattr(connections, "SILENCE_SECONDS", 0.4)
    monkeypatch.setattr(connections, "HELD_MARGIN", 0.2)
    monkeypatch.setattr(connections, "_LOOK_SECONDS", 0.05)
    watch_connections()


@asynccontextmanager
async def connected(broker, count=1):
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made = [await create_conn("127.0.0.1", port, request_timeout_ms=20_000) for _ in range(count)]
    assert all(isinstance(one, WatchedConnection) for one in made)
    try:
        yield made
    finally:
        for one in made:
            one.close()
        server.close()


async def failing(answer):
    """Seconds until a connection is found dead."""
    began = monotonic()
    async with asyncio.timeout(10):
        with pytest.raises(KafkaConnectionError):
            await answer
    return monotonic() - began


async def test_field_27_a_silent_connection_is_closed_long_before_the_request_timeout(patience):
    async with connected(Broker()) as (connection,):
        assert await failing(connection.send(MetadataRequest([]))) < 5
        assert not connection.connected()


async def test_field_27_the_others_to_that_broker_go_with_it(patience):
    broker = Broker()
    async with connected(broker, 3) as (first, second, third):
        join = asyncio.create_task(
            failing(second.send(JoinGroupRequest("g", 9000, 60_000, "", None, "c", [("r", b"")])))
        )
        await asyncio.sleep(0)
        await failing(first.send(HeartbeatRequest("g", 1, "m")))
        assert await join < 5
        async with asyncio.timeout(5):
            while third.connected():  # noqa: ASYNC110 - the end of a connection must be polled
                await asyncio.sleep(0.01)


async def test_field_27_a_join_is_waited_for_as_long_as_the_broker_may_hold_it(patience):
    async with connected(Broker()) as (connection,):
        join = JoinGroupRequest("g", 9000, 1000, "", None, "consumer", [("r", b"")])
        assert await failing(connection.send(join)) >= 1.2


async def test_field_27_a_fetch_is_waited_for_as_long_as_the_broker_may_hold_it(patience):
    async with connected(Broker()) as (connection,):
        fetch = FetchRequest(1000, 1, 1024, 0, [("t", [(0, 0, 1024)])])
        assert await failing(connection.send(fetch)) >= 1.2


async def test_field_27_a_produce_is_waited_for_while_replicas_may_be_behind(patience):
    async with connected(Broker()) as (connection,):
        produce = ProduceRequest(None, -1, 1000, [("t", [(0, b"records")])])
        assert await failing(connection.send(produce)) >= 1.2


async def test_field_27_a_dead_line_ends_the_patience_with_a_produce(patience):
    async with connected(Broker(), 2) as (first, second):
        produce = ProduceRequest(None, -1, 20_000, [("t", [(0, b"records")])])
        waiting = asyncio.create_task(failing(second.send(produce)))
        silent = asyncio.create_task(failing(first.send(MetadataRequest([]))))
        await asyncio.sleep(0.05)
        second._heard_at = second._last_heard = monotonic()  # later than the other
        await silent
        assert await waiting < 5


async def test_field_27_an_answer_that_trickles_is_a_sign_of_life(patience):
    """A large fetch over a bad line takes its time."""
    broker = Broker()

    async def trickle(writer, correlation):
        body = struct.pack(">ii", 0, 0)  # no brokers, no topics
        for byte in struct.pack(">ii", len(body) + 4, correlation) + body:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.1)

    broker.answer = trickle
    async with connected(broker) as (connection,):
        began = monotonic()
        assert (await connection.send(MetadataRequest([]))).brokers == []
        assert monotonic() - began > 1


async def test_field_27_an_idle_connection_stays(patience):
    async with connected(Broker()) as (connection,):
        await asyncio.sleep(1)
        assert connection.connected()


async def test_field_27_a_process_that_stood_still_reads_before_it_judges(patience):
    import time

    broker, answered = Broker(), asyncio.Event()

    async def later(writer, correlation):
        await answered.wait()
        body = struct.pack(">ii", 0, 0)
        writer.write(struct.pack(">ii", len(body) + 4, correlation) + body)

    broker.answer = later
    async with connected(broker) as (connection,):
        request = asyncio.create_task(connection.send(MetadataRequest([])))
        while not broker.heard:  # noqa: ASYNC110 - the server of the test
            await asyncio.sleep(0.01)
        time.sleep(1)  # noqa: ASYNC251 - as SIGSTOP does
        answered.set()
        assert (await request).brokers == []
