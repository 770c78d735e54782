"""TCP options by which a connection notices that its other side has vanished."""

import contextlib
import socket
from typing import Any, Final

#: A silent connection is probed after this number of seconds, and then at this interval.
_KEEPALIVE_IDLE: Final = 5
_KEEPALIVE_INTERVAL: Final = 2
_KEEPALIVE_COUNT: Final = 3

#: For so long what was sent may stay unacknowledged, in milliseconds.
_USER_TIMEOUT_MS: Final = 12_000

#: By name, since not every system has each.
_OPTIONS: Final = (
    ("TCP_KEEPIDLE", _KEEPALIVE_IDLE),
    ("TCP_KEEPINTVL", _KEEPALIVE_INTERVAL),
    ("TCP_KEEPCNT", _KEEPALIVE_COUNT),
    ("TCP_USER_TIMEOUT", _USER_TIMEOUT_MS),
)


def notice_dead_peer(connection: Any) -> None:
    """Let the kernel end a TCP connection whose other side is silent for some 12 seconds.

    Without it a connection whose packets are dropped on the way lives for a quarter of an hour, or
    for ever where nothing is sent. Sockets of other kinds are left alone.

    Args:
        connection: a `socket.socket`, or what an asyncio transport gives for one; None is ignored.
    """
    if connection is None or connection.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _OPTIONS:
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def watched_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket with these options, as aiohttp's ``socket_factory``.

    Args:
        address: one of the tuples that `socket.getaddrinfo` returns.
    """
    family, kind, protocol = address[:3]
    made = socket.socket(family, kind, protocol)
    notice_dead_peer(made)
    return made
