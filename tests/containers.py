"""The upstream servers in containers, behind the interface of the embedded stack.

Apache Kafka, PostgreSQL 16 (one server for each database), Redis 7 and SeaweedFS. Their ports are
fixed when they are made: a restarted container keeps its address, as a server would.
"""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from config.settings import MainDatabaseSettings, S3Settings, VectorDatabaseSettings
from infra.embedded.stack import ServerName
from infra.processes.ports import Ports
from tests.compose.deployment import unavailable

# Where this machine itself looks like a container, the published ports are still on loopback.
os.environ.setdefault("TESTCONTAINERS_HOST_OVERRIDE", "localhost")

from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import ExecWaitStrategy

POSTGRES_IMAGE = "postgres:16"
PGVECTOR_IMAGE = "pgvector/pgvector:pg16"
REDIS_IMAGE = "redis:7-alpine"
S3_IMAGE = "chrislusf/seaweedfs:4.48"
KAFKA_IMAGE = "apache/kafka:4.1.0"

IMAGES = (POSTGRES_IMAGE, PGVECTOR_IMAGE, REDIS_IMAGE, S3_IMAGE, KAFKA_IMAGE)

USER = "fecapass"
START_SECONDS = 120
STOP_SECONDS = 30


def missing_engine() -> str | None:
    """Why the containers cannot be started here; None where they can."""
    return unavailable(IMAGES)


class Server:
    """One container with one published port, reserved until it is removed."""

    def __init__(self, image: str, inner_port: int, ready: str) -> None:
        self.ports = Ports()
        self.port = self.ports.take()
        self._made = False
        self._ready = ExecWaitStrategy(["bash", "-c", ready]).with_startup_timeout(START_SECONDS)
        self.container = (
            DockerContainer(image).with_bind_ports(inner_port, self.port).waiting_for(self._ready)
        )

    def start(self) -> None:
        """Start it for the first time, or again."""
        if not self._made:
            self._made = True
            self.container.start()
        else:
            self.container.get_wrapped_container().start()
            self._ready.wait_until_ready(self.container)

    def stop(self) -> None:
        self.container.get_wrapped_container().stop(timeout=STOP_SECONDS)

    def kill(self) -> None:
        self.container.get_wrapped_container().kill()
        self.container.get_wrapped_container().wait()

    def remove(self) -> None:
        if self._made:
            self.container.stop()
        self.ports.release()


def postgres(image: str, database: str, password: str) -> Server:
    # Over TCP: the server of the first initialisation answers on the socket alone.
    ready = f"pg_isready -h 127.0.0.1 -U {USER} -d {database}"
    server = Server(image, 5432, ready)
    server.container.with_envs(POSTGRES_USER=USER, POSTGRES_PASSWORD=password, POSTGRES_DB=database)
    return server


def redis(password: str) -> Server:
    server = Server(REDIS_IMAGE, 6379, "redis-cli ping | grep -q PONG")
    server.container.with_env("REDISCLI_AUTH", password)
    server.container.with_command(["redis-server", "--requirepass", password])
    return server


def seaweedfs(access_key: str, secret_key: str) -> Server:
    server = Server(S3_IMAGE, 8333, "curl -fsS http://127.0.0.1:8333/healthz")
    server.container.with_envs(AWS_ACCESS_KEY_ID=access_key, AWS_SECRET_ACCESS_KEY=secret_key)
    server.container.with_command("server -s3 -ip.bind=0.0.0.0 -master.telemetry=false")
    return server


def kafka() -> Server:
    server = Server(KAFKA_IMAGE, 9092, "exec 3<>/dev/tcp/127.0.0.1/9092")
    server.container.with_envs(
        KAFKA_NODE_ID="1",
        KAFKA_PROCESS_ROLES="broker,controller",
        # The broker asks itself about transactions, where its clients' address leads nowhere.
        KAFKA_LISTENERS="PLAINTEXT://:9092,BROKER://localhost:9094,CONTROLLER://:9093",
        KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://localhost:{server.port},BROKER://localhost:9094",
        KAFKA_INTER_BROKER_LISTENER_NAME="BROKER",
        KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=(
            "PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT"
        ),
        KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
        KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
        KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS="4",
        KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_MIN_ISR="1",
        KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
        KAFKA_AUTO_CREATE_TOPICS_ENABLE="false",
        KAFKA_HEAP_OPTS="-Xms384m -Xmx384m",
    )
    return server


class ContainerStack:
    """What `infra.embedded.stack.EmbeddedStack` is to the tests, in containers."""

    def __init__(self) -> None:
        self._password = secrets.token_urlsafe(18)
        self._access_key = secrets.token_hex(10)
        main, vector = (
            str(group.model_fields["name"].default)
            for group in (MainDatabaseSettings, VectorDatabaseSettings)
        )
        self._main = postgres(POSTGRES_IMAGE, main, self._password)
        self._vector = postgres(PGVECTOR_IMAGE, vector, self._password)
        self._servers: dict[ServerName, tuple[Server, ...]] = {
            "kafka": (kafka(),),
            "postgres": (self._main, self._vector),
            "redis": (redis(self._password),),
            "s3": (seaweedfs(self._access_key, self._password),),
        }

    def __enter__(self) -> Self:
        try:
            # The first start of all makes testcontainers' reaper, which must be made once.
            self.start_server("redis")
            _all_at_once(server.start for server in self._all_but("redis"))
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._remove()

    def start_server(self, name: ServerName) -> None:
        for server in self._servers[name]:
            server.start()

    def stop_server(self, name: ServerName) -> None:
        for server in self._servers[name]:
            server.stop()

    def restart(self, name: ServerName) -> None:
        self.stop_server(name)
        self.start_server(name)

    def kill(self, name: ServerName) -> None:
        for server in self._servers[name]:
            server.kill()

    def environment(self) -> dict[str, str]:
        groups = {
            "MAIN_DB": self._database(self._main),
            "VECTOR_DB": self._database(self._vector),
            "REDIS": {
                "HOST": "127.0.0.1",
                "PORT": str(self._port("redis")),
                "PASSWORD": self._password,
            },
            "S3": {
                "ENDPOINT_URL": f"http://127.0.0.1:{self._port('s3')}",
                "BUCKET": S3Settings.model_fields["bucket"].default,
                "ACCESS_KEY_ID": self._access_key,
                "SECRET_ACCESS_KEY": self._password,
            },
            "KAFKA": {
                "BOOTSTRAP_SERVERS": f"localhost:{self._port('kafka')}",
                # The least that Apache Kafka takes: a killed worker is missed sooner.
                "SESSION_TIMEOUT": "6",
                "FETCH_MAX_WAIT": "0.05",
            },
        }
        return {
            f"FECAPASS_{group}__{name}": value
            for group, values in groups.items()
            for name, value in values.items()
        }

    def _database(self, server: Server) -> dict[str, str]:
        return {
            "HOST": "127.0.0.1",
            "PORT": str(server.port),
            "USER": USER,
            "PASSWORD": self._password,
        }

    def _port(self, name: ServerName) -> int:
        (server,) = self._servers[name]
        return server.port

    def _all_but(self, *names: ServerName) -> Iterator[Server]:
        for name, servers in self._servers.items():
            if name not in names:
                yield from servers

    def _remove(self) -> None:
        _all_at_once(server.remove for server in self._all_but())


def _all_at_once(steps: Iterable[Callable[[], None]]) -> None:
    """Containers start and end in seconds each; none of them waits for another."""
    with ThreadPoolExecutor() as pool:
        for started in [pool.submit(step) for step in steps]:
            started.result()
