"""The proxy between workers and servers: it forwards, and simulates network failures."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from tests.chaos.proxy import Proxy, Slow


@asynccontextmanager
async def echoing():
    """A proxy before a server that says everything back."""

    async def echo(reader, writer):
        while chunk := await reader.read(1024):
            writer.write(chunk)
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        proxy = Proxy(server.sockets[0].getsockname()[1])
        await proxy.start()
        try:
            yield proxy
        finally:
            await proxy.stop()


async def ask(connection, word=b"hello"):
    reader, writer = connection
    writer.write(word)
    return await asyncio.wait_for(reader.readexactly(len(word)), 5)


async def silence(connection):
    reader, writer = connection
    writer.write(b"hello")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.3)


async def test_everything_passes_both_ways():
    async with echoing() as proxy:
        assert await ask(await asyncio.open_connection("127.0.0.1", proxy.port)) == b"hello"


async def test_a_cut_resets_what_is_connected_and_lets_new_ones_through():
    async with echoing() as proxy:
        reader, writer = old = await asyncio.open_connection("127.0.0.1", proxy.port)
        await ask(old)
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), 5)
        writer.close()
        assert await ask(await asyncio.open_connection("127.0.0.1", proxy.port)) == b"hello"


async def test_connections_of_a_black_hole_stay_dead_silently():
    async with echoing() as proxy:
        old = await asyncio.open_connection("127.0.0.1", proxy.port)
        await ask(old)
        proxy.blackhole()
        await silence(old)
        during = await asyncio.open_connection("127.0.0.1", proxy.port)
        await silence(during)
        proxy.restore()
        await silence(old)
        await silence(during)
        assert await ask(await asyncio.open_connection("127.0.0.1", proxy.port)) == b"hello"


async def test_a_bad_line_is_slow_and_loses_nothing():
    async with echoing() as proxy:
        loop = asyncio.get_running_loop()
        connection = await asyncio.open_connection("127.0.0.1", proxy.port)
        proxy.slow_down(Slow(latency=0.1, bytes_per_second=1_000))
        began = loop.time()
        assert await ask(connection, b"x" * 100) == b"x" * 100
        assert loop.time() - began >= 0.4
        proxy.slow_down(None)


async def test_an_unavailable_server_is_reported_to_the_client():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    proxy = Proxy(port)
    await proxy.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(1), 5)
    writer.close()
    await proxy.stop()
