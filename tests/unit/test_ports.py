"""Ports for servers that cannot choose their own."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra.processes.ports import NoPortError, Ports, is_free

ROOT = Path(__file__).parents[2]

#: Tells that it is there, waits until all are, takes ports as fast as it can, then waits again.
TAKES_PORTS = """
import sys
from infra.processes.ports import Ports
from unittest import mock
ports = "infra.processes.ports."
with mock.patch(ports + "_LOWEST", 10_240), mock.patch(ports + "_HIGHEST", 10_400):
    print("there", flush=True)
    sys.stdin.readline()
    ports = Ports(also=10_000)
    print(*[ports.take() for _ in range(8)], flush=True)
    sys.stdin.readline()
"""


def test_field_00_processes_that_start_at_once_get_different_ports():
    """Eight stacks' worth of ports out of 160."""
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", TAKES_PORTS],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    try:
        for program in programs:
            assert program.stdout.readline() == "there\n"
        for program in programs:
            program.stdin.write("\n")
            program.stdin.flush()
        taken = [int(port) for program in programs for port in program.stdout.readline().split()]
    finally:
        for program in programs:
            program.communicate("\n", timeout=30)
    assert len(taken) == len(set(taken)) == 64


def test_field_00_a_port_is_free_again_after_its_holder_however_it_ends():
    with Ports() as first, Ports() as second:
        port = first.take()
        assert second.take(port) != port
        first.release()
        assert second.take(port) == port
    program = (
        "from infra.processes.ports import Ports; p = Ports(); print(p.take(), flush=True); input()"
    )
    with (
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as holder,
        Ports() as ports,
    ):
        port = int(holder.stdout.readline())
        assert ports.take(port) != port
        holder.kill()
        holder.wait()
        assert ports.take(port) == port


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - for a moment
def test_field_00_a_port_with_a_listener_or_a_neighbour_is_not_taken(host):
    with Ports(also=10_000) as ports, Ports() as single:
        port = single.take()
        single.release()
        with socket.create_server((host, port)):
            assert not is_free(port)
            assert ports.take(port) != port
        with socket.create_server((host, port + 10_000)):
            assert ports.take(port) != port
        assert ports.take(port) == port
        assert single.take(port + 10_000) != port + 10_000  # reserved with its neighbour


def test_field_00_no_port_is_said(monkeypatch):
    monkeypatch.setattr("infra.processes.ports._LOWEST", 10_240)
    monkeypatch.setattr("infra.processes.ports._HIGHEST", 10_241)
    with Ports() as first, Ports() as second:
        first.take()
        with pytest.raises(NoPortError, match="no free port between 10240"):
            second.take()
