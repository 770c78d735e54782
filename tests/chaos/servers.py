"""The servers of a run: Apache Kafka if Docker is available, and embedded stores."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from infra.embedded.server_processes import children
from infra.embedded.stack import EmbeddedStack, ServerName
from tests.chaos.proxy import Proxy
from tests.containers import KAFKA_IMAGE, Server, kafka, missing_engine

_DISK_MEGABYTES = 1024
_OBSERVER_PORT = 9094


class KafkaContainer:
    """Apache Kafka in a container: one listener for the workers, one for the harness.

    Its data are on a volume, so that they survive a SIGKILL.
    """

    def __init__(self) -> None:
        self.volume = f"fecapass-chaos-{uuid4().hex[:8]}"
        self._server: Server = kafka()
        self.port = self._server.port
        self.observer_port = self._server.ports.take()

    def make(self, workers_port: int) -> None:
        """Start it for the first time.

        Args:
            workers_port: the port that is advertised to the workers; a proxy listens there.
        """
        self._server.container.with_bind_ports(_OBSERVER_PORT, self.observer_port)
        self._server.container.with_volume_mapping(self.volume, "/var/lib/kafka/data", "rw")
        self._server.container.with_envs(
            KAFKA_LOG_DIRS="/var/lib/kafka/data",
            KAFKA_LISTENERS=f"PLAINTEXT://:9092,OBSERVER://:{_OBSERVER_PORT},CONTROLLER://:9093",
            KAFKA_ADVERTISED_LISTENERS=(
                f"PLAINTEXT://127.0.0.1:{workers_port},OBSERVER://127.0.0.1:{self.observer_port}"
            ),
            KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=(
                "PLAINTEXT:PLAINTEXT,OBSERVER:PLAINTEXT,CONTROLLER:PLAINTEXT"
            ),
            KAFKA_INTER_BROKER_LISTENER_NAME="OBSERVER",
        )
        self._server.start()

    def start(self) -> None:
        self._server.start()

    def kill(self) -> None:
        self._server.kill()

    def freeze(self) -> None:
        self._server.container.get_wrapped_container().pause()

    def resume(self) -> None:
        self._server.container.get_wrapped_container().unpause()

    def log(self) -> bytes:
        return self._server.container.get_wrapped_container().logs()

    def remove(self) -> None:
        client = self._server.container.get_docker_client().client
        self._server.remove()
        client.volumes.get(self.volume).remove(force=True)


class Disk:
    """The small disk that all stores share, if this user may mount one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.missing = self._mount()

    def _mount(self) -> str | None:
        """Why there is no such disk; None if it is mounted."""
        if os.geteuid() != 0:
            return "only root may mount a small disk for the stores"
        options = f"size={_DISK_MEGABYTES}m,mode=0711"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.path],
            check=False,
            capture_output=True,
            text=True,
        )
        return None if done.returncode == 0 else f"no small disk: {done.stderr.strip()}"

    def fill(self) -> int:
        """Fill the disk completely; returns the size of the file in megabytes."""
        ballast = self.path / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(1 << 20)):
                pass
        return ballast.stat().st_size >> 20

    def clear(self) -> None:
        (self.path / "ballast").unlink(missing_ok=True)

    def remove(self) -> None:
        if self.missing is None:
            subprocess.run(["umount", "--lazy", self.path], check=True)


class Servers:
    """Starts, kills, suspends and restarts the servers.

    Attributes:
        proxies: by server, the proxy between it and the workers.
        unavailable_faults: faults that cannot be injected here, each with the reason.
    """

    def __init__(self, stack: EmbeddedStack, broker: KafkaContainer | None, disk: Disk) -> None:
        self.proxies: dict[str, Proxy] = {}
        self.unavailable_faults: dict[tuple[str, str], str] = {}
        self.disk = disk
        self.stack = stack
        self._broker = broker
        if disk.missing is not None:
            self.unavailable_faults["fill disk", "stores"] = disk.missing

    @property
    def broker_title(self) -> str:
        return f"Apache Kafka ({KAFKA_IMAGE})" if self._broker else "the embedded broker"

    def direct(self) -> dict[str, str]:
        """Addresses of the servers for the harness itself, without the proxies."""
        environment = self.stack.environment()
        environment["FECAPASS_KAFKA__CLAIM_CHECK"] = "false"
        if self._broker is not None:
            address = f"127.0.0.1:{self._broker.observer_port}"
            environment["FECAPASS_KAFKA__BOOTSTRAP_SERVERS"] = address
            environment["FECAPASS_KAFKA__FETCH_MAX_WAIT"] = "0.05"
        return environment

    def proxied(self) -> dict[str, str]:
        """Addresses of the servers for the workers, through the proxies."""
        environment = self.direct()
        for group, name in (
            ("MAIN_DB", "postgres"), ("VECTOR_DB", "postgres"), ("REDIS", "redis")
        ):  # fmt: skip
            environment[f"FECAPASS_{group}__PORT"] = str(self.proxies[name].port)
        environment["FECAPASS_S3__ENDPOINT_URL"] = f"http://127.0.0.1:{self.proxies['s3'].port}"
        if "kafka" in self.proxies:
            address = f"127.0.0.1:{self.proxies['kafka'].port}"
            environment["FECAPASS_KAFKA__BOOTSTRAP_SERVERS"] = address
        return environment

    async def start_proxies(self) -> None:
        for name in ("postgres", "redis", "s3"):
            self.proxies[name] = Proxy(self.stack.servers[name].port)
            await self.proxies[name].start()

    async def crash(self, name: str) -> None:
        """SIGKILL."""
        if name == "kafka" and self._broker is not None:
            await asyncio.to_thread(self._broker.kill)
        else:
            await asyncio.to_thread(self.stack.kill, _embedded(name))

    async def start(self, name: str) -> None:
        """Start it again, and wait until it answers."""
        if name == "kafka" and self._broker is not None:
            await asyncio.to_thread(self._broker.start)
        else:
            await asyncio.to_thread(self.stack.start_server, _embedded(name))

    async def freeze(self, name: str) -> None:
        """SIGSTOP to all processes of a server."""
        if name == "kafka" and self._broker is not None:
            await asyncio.to_thread(self._broker.freeze)
        else:
            self._signal(name, signal.SIGSTOP)

    async def resume(self, name: str) -> None:
        """SIGCONT to all processes of a server."""
        if name == "kafka" and self._broker is not None:
            await asyncio.to_thread(self._broker.resume)
        else:
            self._signal(name, signal.SIGCONT)

    async def restart_ended(self) -> list[str]:
        """Start the stores that have ended; returns their names."""
        ended = [server.name for server in self.stack.ended() if server.name != "kafka"]
        for name in ended:
            await self.start(name)
        return ended

    def broker_log(self) -> bytes:
        return b"" if self._broker is None else self._broker.log()

    def _signal(self, name: str, number: signal.Signals) -> None:
        record = self.stack.servers[_embedded(name)].record
        if record is None:
            return
        # The parent first, so that it starts no more children.
        for pid in (record.pid, *children(record.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _embedded(name: str) -> ServerName:
    return name  # type: ignore[return-value]  # the schedule has no other names


@asynccontextmanager
async def running_servers(*, embedded_broker: bool) -> AsyncIterator[Servers]:
    """All servers, ready, each with its proxy.

    Args:
        embedded_broker: do not use Docker.
    """
    reason = "asked for" if embedded_broker else await asyncio.to_thread(missing_engine)
    path = await asyncio.to_thread(_reachable_directory)
    disk = Disk(path)
    stack = EmbeddedStack(path)
    broker = None
    line: Proxy | None = None
    try:
        await asyncio.to_thread(stack.start)
        if reason is None:
            broker = KafkaContainer()
            line = Proxy(broker.port)
            await line.start()
            await asyncio.to_thread(stack.stop_server, "kafka")
            await asyncio.to_thread(broker.make, line.port)
        servers = Servers(stack, broker, disk)
        await servers.start_proxies()
        if line is not None:
            servers.proxies["kafka"] = line
        else:
            servers.unavailable_faults["*", "kafka"] = (
                f"embedded broker ({reason}): it has no disk and advertises its own address"
            )
        yield servers
        for proxy in servers.proxies.values():
            await proxy.stop()
    finally:
        if broker is not None:
            await asyncio.to_thread(broker.remove)
        await asyncio.to_thread(stack.stop)
        disk.remove()
        await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)


def _reachable_directory() -> Path:
    """A directory that Postgres, which may run as another user, can reach."""
    path = Path(tempfile.mkdtemp(prefix="fecapass-chaos-"))
    path.chmod(0o711)
    return path


def named(reasons: Mapping[tuple[str, str], str]) -> list[str]:
    """The faults that are left out, as text."""
    return [f"{kind} {target}: {reason}" for (kind, target), reason in reasons.items()]
