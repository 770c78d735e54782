"""All embedded servers together: one directory, one start, one stop.

Layout of a data directory:

    lock          held by the running stack; a second one is refused
    state.json    ports and passwords, made on the first start (mode 0600)
    stack.env     FECAPASS_* variables of the running stack (mode 0600); gone after a stop
    servers.json  process ids of the running servers, for the case that the stack is killed
    logs/         one file per server; that of the last run is ``.log.1``
    postgres/ redis/ s3/ kafka/

The interface is synchronous: it starts processes and waits for them, a few seconds in all. In a
running event loop call it through `asyncio.to_thread`.

Nothing is left running: `stop` ends the servers in order; when the process that holds the stack
is killed, its guard (`infra.embedded.guard`) ends them; when that is killed too, the next start
finds them by process id and command line and ends them first.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from config.network.http_proxies import NO_PROXY
from config.settings import (
    ENV_PREFIX,
    KafkaSettings,
    MainDatabaseSettings,
    S3Settings,
    Settings,
    VectorDatabaseSettings,
)
from infra.embedded import programs
from infra.embedded.embedded_errors import StackError
from infra.embedded.embedded_server import Server
from infra.embedded.guard import start_guard
from infra.embedded.postgres.postgres_server import USER, Postgres
from infra.embedded.private_files import DataDirectoryLock, write_private
from infra.embedded.seaweedfs import REGION, SeaweedFs
from infra.embedded.server_processes import Record, dump_records, end_leftovers
from infra.embedded.stack_state import GRPC_OFFSET, LOOPBACK, StackState, load_state
from infra.embedded.tansu import Tansu
from infra.embedded.valkey import Valkey
from infra.processes.ports import Ports, is_free

if TYPE_CHECKING:
    from infra.processes.guard_process import GuardProcess

ServerName = Literal["postgres", "redis", "s3", "kafka"]

DEFAULT_DATA_DIR = Path(".fecapass")

#: Starts, each on ports that are free, before the loss of one to another program is a failure.
_ATTEMPTS = 3


class EmbeddedStack:
    """Postgres with pgvector, Valkey, an S3 server and a Kafka-protocol broker on loopback.

    The stores keep their data from one start to the next; the broker keeps nothing.

    Attributes:
        data_dir: directory of all data, absolute.
        leftovers: servers of a killed run that the last `start` found and ended.
    """

    def __init__(self, data_dir: Path = DEFAULT_DATA_DIR) -> None:
        self.data_dir = data_dir.absolute()
        self.leftovers: list[Record] = []
        self._lock: DataDirectoryLock | None = None
        self._state: StackState | None = None
        self._guard: GuardProcess | None = None
        self._servers: dict[ServerName, Server] = {}
        self._ports = Ports(also=GRPC_OFFSET)

    def start(self) -> Self:
        """Start all servers and wait until each answers; returns the stack itself.

        Raises:
            StackError: the platform is not supported, the data directory is in use, or a server
                did not start. Nothing is left running then.
        """
        if self._lock is not None:
            raise StackError(f"the stack in {self.data_dir} is already running")
        programs.check_platform()
        try:
            self._take_directory()
            self._guard = start_guard(self.data_dir, self._records_file)
            self._start_servers()
            self._write_environment()
        except OSError as error:
            self.stop()
            raise StackError(f"cannot start the stack in {self.data_dir}: {error}") from error
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop all servers, gracefully; harmless when none runs."""
        if self._lock is None:
            return
        self.env_file.unlink(missing_ok=True)
        self._stop_servers()
        self._records_file.unlink(missing_ok=True)
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = None
        self._state = None
        self._lock.release()
        self._lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def env_file(self) -> Path:
        """The file with the stack's variables, there while it runs."""
        return self.data_dir / "stack.env"

    @property
    def servers(self) -> Mapping[ServerName, Server]:
        """The servers of the running stack by name."""
        return self._servers

    def start_server(self, name: ServerName) -> None:
        """Start one server that was stopped or killed, and wait until it answers."""
        server = self._server(name)
        server.start(self._record)
        self._record()
        server.wait_ready()

    def stop_server(self, name: ServerName) -> None:
        """Stop one server gracefully, as maintenance would; `start_server` brings it back."""
        self._server(name).stop()
        self._record()

    def restart(self, name: ServerName) -> None:
        """Stop one server and start it again at the same address."""
        self.stop_server(name)
        self.start_server(name)

    def kill(self, name: ServerName) -> None:
        """End one server by SIGKILL, as a crash would; `start_server` brings it back."""
        self._server(name).kill()
        self._record()

    def ended(self) -> list[Server]:
        """Servers that should run and do not."""
        return [server for server in self._servers.values() if not server.running]

    def environment(self) -> dict[str, str]:
        """The variables that point Fecapass at this stack, secrets included.

        Raises:
            StackError: the stack does not run.
        """
        if self._state is None:
            raise StackError(f"the stack in {self.data_dir} is not running")
        ports, secrets = self._state.ports, self._state.secrets
        database = {
            "HOST": LOOPBACK,
            "PORT": str(ports["postgres"]),
            "USER": USER,
            "PASSWORD": secrets["postgres_password"],
        }
        groups = {
            "MAIN_DB": database | {"NAME": MainDatabaseSettings.model_fields["name"].default},
            "VECTOR_DB": database | {"NAME": VectorDatabaseSettings.model_fields["name"].default},
            "REDIS": {
                "HOST": LOOPBACK,
                "PORT": str(ports["redis"]),
                "PASSWORD": secrets["redis_password"],
            },
            "S3": {
                "ENDPOINT_URL": f"http://{LOOPBACK}:{ports['s3']}",
                "REGION": REGION,
                "BUCKET": S3Settings.model_fields["bucket"].default,
                "ACCESS_KEY_ID": secrets["s3_access_key_id"],
                "SECRET_ACCESS_KEY": secrets["s3_secret_access_key"],
                "PROXY_URL": NO_PROXY,
            },
            "KAFKA": {
                "BOOTSTRAP_SERVERS": f"{LOOPBACK}:{ports['kafka']}",
                "REPLICATION_FACTOR": str(KafkaSettings.model_fields["replication_factor"].default),
                # This broker lets a joining member wait half its session, and an empty fetch
                # half its longest wait: both are latency.
                "SESSION_TIMEOUT": "6",
                "FETCH_MAX_WAIT": "0.02",
                # The embedded broker keeps every message in memory for as long as it runs.
                "CLAIM_CHECK": "true",
            },
        }
        return {
            f"{ENV_PREFIX}{group}__{name}": value
            for group, values in groups.items()
            for name, value in values.items()
        }

    def settings(self, *env_files: Path) -> Settings:
        """The settings of a program that uses this stack.

        Args:
            env_files: files to read the other settings from, in addition to the environment;
                addresses of servers always come from the stack.
        """
        return settings_from(self.environment(), *env_files)

    def _take_directory(self) -> None:
        """Make the directory, lock it, and end what a killed run left in it."""
        if not self.data_dir.exists():
            self.data_dir.mkdir(parents=True)
            # Postgres may run as another user, who must get through; each part guards itself.
            self.data_dir.chmod(0o711)
        lock = DataDirectoryLock(self.data_dir)
        lock.acquire()
        self._lock = lock
        self.leftovers = end_leftovers(self._records_file)
        (self.data_dir / "logs").mkdir(mode=0o700, exist_ok=True)

    def _start_servers(self) -> None:
        """Start all, again on other ports where a program that knows no reservations was faster.

        Raises:
            StackError: a server did not start.
        """
        for attempt in range(_ATTEMPTS):
            self._state = load_state(self.data_dir / "state.json", self._ports)
            self._servers = self._make_servers(self._state)
            try:
                self._start_once()
            except StackError:
                self._stop_servers()
                taken = [port for port in self._state.ports.values() if not _is_free(port)]
                if not taken or attempt == _ATTEMPTS - 1:
                    raise
            else:
                return

    def _start_once(self) -> None:
        for server in self._servers.values():
            server.start(self._record)
            self._record()
        for server in self._servers.values():
            server.wait_ready()

    def _stop_servers(self) -> None:
        """Stop what runs, and let others have the ports."""
        for server in reversed(self._servers.values()):
            server.stop()
        self._servers = {}
        self._ports.release()

    def _make_servers(self, state: StackState) -> dict[ServerName, Server]:
        here, logs = self.data_dir, self.data_dir / "logs"
        databases = [
            str(group.model_fields["name"].default)
            for group in (MainDatabaseSettings, VectorDatabaseSettings)
        ]
        return {
            "postgres": Postgres(
                here,
                logs / "postgres.log",
                state.ports["postgres"],
                state.secrets["postgres_password"],
                databases,
            ),
            "redis": Valkey(
                here / "redis",
                logs / "redis.log",
                state.ports["redis"],
                state.secrets["redis_password"],
            ),
            "s3": SeaweedFs(here / "s3", logs / "s3.log", state.ports, state.secrets),
            "kafka": Tansu(here / "kafka", logs / "kafka.log", state.ports["kafka"]),
        }

    def _record(self) -> None:
        """Write down what runs or is about to, for the guard and the next start."""
        records = [
            server.record or Record(server.name, 0, server.marker)
            for server in self._servers.values()
        ]
        write_private(self._records_file, dump_records(records))

    def _write_environment(self) -> None:
        lines = [f"{name}={value}" for name, value in self.environment().items()]
        write_private(self.env_file, "\n".join(lines) + "\n")

    def _server(self, name: ServerName) -> Server:
        with contextlib.suppress(KeyError):
            return self._servers[name]
        raise StackError(f"there is no running stack with a server named {name!r}")

    @property
    def _records_file(self) -> Path:
        return self.data_dir / "servers.json"


def _is_free(port: int) -> bool:
    return is_free(port) and is_free(port + GRPC_OFFSET)


def settings_from(environment: Mapping[str, str], *env_files: Path) -> Settings:
    """Settings in which the given variables win over the process's environment and the files."""
    groups: dict[str, dict[str, str]] = {}
    for variable, value in environment.items():
        group, _, name = variable.removeprefix(ENV_PREFIX).lower().partition("__")
        groups.setdefault(group, {})[name] = value
    return Settings(_env_file=env_files or None, **groups)  # type: ignore[arg-type]  # validated there
