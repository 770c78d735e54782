"""A real nginx as an ordinary process, in a directory and on ports of its own."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_CONFIGURATION = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_max_body_size 64m;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  proxy_buffering off;
  {servers}
}}
"""


@contextmanager
def running_nginx(directory: Path, servers: str, ports: list[int]) -> Iterator[None]:
    """Serve until the context ends.

    Args:
        directory: of the server's own, for its files.
        servers: ``server`` blocks.
        ports: that they listen on.
    """
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")
    if program is None:
        pytest.skip("no nginx on the path: apt-get install nginx-light")
    directory.mkdir()
    file = directory / "nginx.conf"
    file.write_text(_CONFIGURATION.format(directory=directory, servers=servers))
    process = subprocess.Popen(
        [program, "-p", str(directory), "-e", "stderr", "-c", str(file)],
        stdout=subprocess.DEVNULL,
        stderr=(directory / "errors").open("wb"),
    )
    try:
        _wait_for(process, ports, directory / "errors")
        yield
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(process: subprocess.Popen[bytes], ports: list[int], log: Path) -> None:
    until = time.monotonic() + 20
    for port in ports:
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                break
