"""Listening on a port, and saying where."""

import asyncio
import errno
import os
import socket

import aiohttp
import pytest

from config.network.listening import announce, announced, listen, port_of, url_of, withdraw
from streams.lifecycle.health_server import HealthServer


@pytest.fixture
def opened():
    """Listens, and closes at the end."""
    sockets = []

    def open_them(*arguments, **options):
        made = listen(*arguments, **options)
        sockets.extend(made)
        return made

    yield open_them
    for each in sockets:
        each.close()


def reaches(host, port):
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError:
        return False
    return True


#: All IPv4 addresses.
WILDCARD = "0.0.0.0"  # noqa: S104 - on a port of the test's own


@pytest.mark.parametrize("host", ["::", ""])
def test_field_21_all_families_are_served_on_one_port(opened, host):
    port = port_of(opened(host, 0))
    assert reaches("127.0.0.1", port)
    assert reaches("::1", port)


def test_field_00_a_name_is_served_on_each_of_its_addresses(opened, monkeypatch):
    """Else a browser that is sent to localhost could meet another program on ::1."""
    both = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    port = port_of(opened("localhost", 0))
    monkeypatch.undo()
    assert reaches("127.0.0.1", port)
    assert reaches("::1", port)


def test_field_00_an_address_that_this_machine_lacks_is_passed_over(opened, monkeypatch):
    names = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: names)
    assert len(opened("door.example.com", 0)) == 1
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: names[:1])
    with pytest.raises(OSError, match="assign"):
        opened("door.example.com", 0)


@pytest.mark.parametrize(
    ("host", "other"), [("127.0.0.1", "::1"), (WILDCARD, "::1"), ("::1", "127.0.0.1")]
)
def test_field_21_one_family_is_served_where_one_is_named(opened, host, other):
    port = port_of(opened(host, 0))
    assert reaches("127.0.0.1" if host == WILDCARD else host, port)
    assert not reaches(other, port)


def test_field_21_ipv4_clients_keep_their_addresses(opened):
    sockets = opened("::", 0)
    with socket.create_connection(("127.0.0.1", port_of(sockets))) as client:
        (listening,) = (each for each in sockets if each.family == socket.AF_INET)
        served, peer = listening.accept()
        served.close()
        assert peer == client.getsockname()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://localhost:8000"),
        ("::", "http://localhost:8000"),
        (WILDCARD, "http://localhost:8000"),
        ("::1", "http://[::1]:8000"),
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("door.example.com", "http://door.example.com:8000"),
    ],
)
def test_field_21_the_url_is_one_that_can_be_opened(host, url):
    assert url_of(host, 8000) == url


def test_field_00_a_taken_port_is_refused_or_replaced(opened):
    port = port_of(opened("127.0.0.1", 0))
    with pytest.raises(OSError, match="in use") as refusal:
        opened("localhost", port)
    assert refusal.value.errno == errno.EADDRINUSE
    other = port_of(opened("localhost", port, any_port=True))
    assert other != port
    assert reaches("localhost", other)


def test_field_00_only_a_taken_port_is_replaced(opened):
    with pytest.raises(OSError, match=r"[Nn]ame|service"):
        opened("no.such.host.invalid", 8000, any_port=True)


def test_field_00_an_address_is_there_as_a_whole_or_not_at_all(tmp_path):
    file = tmp_path / "address"
    assert announced(file) is None
    announce(file, "http://localhost:8000", "abc")
    found = announced(file)
    assert (found.url, found.instance, found.pid) == ("http://localhost:8000", "abc", os.getpid())
    withdraw(file)
    assert list(tmp_path.iterdir()) == []
    withdraw(file)
    withdraw(None)


async def test_field_00_a_worker_writes_its_address_and_answers_with_its_instance(tmp_path):
    file = tmp_path / "address"
    server = HealthServer("::", 0, "test", list, file)
    url = await server.start()
    try:
        found = announced(file)
        assert found.url == url
        port = int(url.rpartition(":")[2])
        async with aiohttp.ClientSession() as session:
            for host in ("localhost", "127.0.0.1", "[::1]"):
                async with session.get(f"http://{host}:{port}/health") as answer:
                    assert (await answer.json())["instance"] == found.instance
    finally:
        await server.stop()
    assert announced(file) is None


async def test_field_00_two_workers_never_share_an_instance():
    servers = [HealthServer("127.0.0.1", 0, "test", list) for _ in range(2)]
    urls = await asyncio.gather(*(one.start() for one in servers))
    assert len(set(urls)) == 2
    assert servers[0].instance != servers[1].instance
    await asyncio.gather(*(one.stop() for one in servers))
