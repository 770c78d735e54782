"""Listening on a port, and saying where.

A port that was free may be in use by another program a moment later. So the process that listens
chooses the port, and writes it to a file. A client compares the instance, so that it never mistakes
the answer of another program for that of this process.
"""

import errno
import json
import os
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

#: All addresses of this machine. Not one socket for both families: that would show IPv4 clients
#: under IPv6 addresses, which no list of trusted addresses has.
_EVERYWHERE: Sequence[tuple[socket.AddressFamily, tuple[str, ...]]] = (
    (socket.AF_INET6, ("::",)),
    (socket.AF_INET, ("0.0.0.0",)),  # noqa: S104 - asked for by the host "::" or ""
)

#: What binding an address of a family fails with that this machine does not have.
_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

#: Port 0 is chosen for the first address; it may be taken on the others.
_ATTEMPTS = 20

_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Address:
    """Where a process listens.

    Attributes:
        url: ``http://host:port``, as a program on the same machine reaches it.
        instance: the random id that its health answers carry.
        pid: its process id.
    """

    url: str
    instance: str
    pid: int


def new_instance() -> str:
    """A random id for this process, to distinguish its answers from those of other processes."""
    return uuid4().hex


def listen(host: str, port: int, *, any_port: bool = False) -> list[socket.socket]:
    """Bound, listening sockets: one for each address of the host, all on the same port.

    Args:
        host: an address or a name; ``::`` and the empty string mean all addresses, IPv4 and IPv6.
        port: 0 takes a free one.
        any_port: where the port is taken, take a free one.

    Raises:
        OSError: the host is unknown, or the port is taken.
    """
    try:
        return _listen(host, port)
    except OSError as error:
        if not any_port or error.errno != errno.EADDRINUSE:
            raise
        return _listen(host, 0)


def port_of(sockets: Sequence[socket.socket]) -> int:
    """The port that the sockets of `listen` share."""
    port: int = sockets[0].getsockname()[1]
    return port


def url_of(host: str, port: int) -> str:
    """``http://host:port``, as a program on this machine reaches it."""
    if host in {"", "::", "0.0.0.0"}:  # noqa: S104 - recognised, not chosen
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def announce(file: Path | None, url: str, instance: str) -> None:
    """Write where this process listens, all at once; without a file nothing is done.

    Raises:
        OSError: the file cannot be written.
    """
    if file is None:
        return
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as written:
            json.dump(asdict(Address(url, instance, os.getpid())), written)
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def withdraw(file: Path | None) -> None:
    """Remove what `announce` wrote."""
    if file is not None:
        file.unlink(missing_ok=True)


def announced(file: Path) -> Address | None:
    """What a process wrote by `announce`; None before that."""
    try:
        return Address(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def _listen(host: str, port: int) -> list[socket.socket]:
    addresses = _EVERYWHERE if host in {"", "::"} else _resolve(host)
    for attempt in range(_ATTEMPTS):
        try:
            return _bind(addresses, port)
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _resolve(host: str) -> Sequence[tuple[socket.AddressFamily, tuple[str | int, ...]]]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # Without the port; an IPv6 address keeps its flow and scope.
    return list(dict.fromkeys((family, (at[0], *at[2:])) for family, _, _, _, at in found))


def _bind(
    addresses: Sequence[tuple[socket.AddressFamily, tuple[str | int, ...]]], port: int
) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, (host, *scope) in addresses:
            try:
                made = socket.create_server(
                    (host, port, *scope),
                    family=family,
                    backlog=_BACKLOG,
                )
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                missing = error
            else:
                sockets.append(made)
                port = port or port_of(sockets)
    except OSError:
        for each in sockets:
            each.close()
        raise
    if missing is not None and not sockets:
        raise missing
    return sockets
