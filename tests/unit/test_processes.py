"""Whose port it is, where the kernel shows it and where it does not."""

import os
import socket

from infra.embedded import server_processes
from infra.embedded.server_processes import owns_port


def test_field_00_a_port_belongs_to_the_process_that_listens_on_it():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert owns_port(os.getpid(), port)
        assert not owns_port(2**22 + 1, port), "another process listens"


def test_field_00_where_sockets_cannot_be_seen_a_server_is_believed(monkeypatch, tmp_path):
    """Else it would never start: "another program answers on port ..."."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        real = server_processes.Path
        monkeypatch.setattr(
            server_processes,
            "Path",
            lambda path: tmp_path / "none" if path.startswith("/proc/net/") else real(path),
        )
        assert owns_port(os.getpid(), port)
