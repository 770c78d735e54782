"""Servers with TLS on, one of each kind a session, and the settings that lead to them."""

import secrets
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from infra.embedded.stack_state import GRPC_OFFSET
from infra.processes.ports import Ports
from tests.conftest import reachable_directory
from tests.containers import Server, missing_engine
from tests.security.certificates import Certificates, make_certificates
from tests.security.servers import USER, TlsKafka, TlsSeaweedFs, postgres, redis


@pytest.fixture(scope="session")
def certificates() -> Iterator[Certificates]:
    with reachable_directory() as path:
        path.chmod(0o755)  # the containers' users look in
        yield make_certificates(path)


@pytest.fixture(scope="session")
def engine() -> None:
    if reason := missing_engine():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def password() -> str:
    return secrets.token_hex(12)


@pytest.fixture(scope="session")
def tls_postgres(engine: None, certificates: Certificates, password: str) -> Iterator[Server]:
    """In a container: the embedded PostgreSQL is built without TLS, as the embedded Valkey is."""
    server = postgres(certificates, password)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def tls_s3(certificates: Certificates) -> Iterator[SimpleNamespace]:
    keys = {
        "s3_access_key_id": secrets.token_hex(10),
        "s3_secret_access_key": secrets.token_hex(12),
        "s3_internal_key": secrets.token_hex(12),
    }
    names = ("s3", "s3_master", "s3_volume", "s3_filer", "s3_admin")
    with reachable_directory() as path, Ports(also=GRPC_OFFSET) as held:
        ports = {name: held.take() for name in names}
        home = path / "s3"
        server = TlsSeaweedFs(home, path / "s3.log", ports, keys, certificates)
        server.start()
        try:
            server.wait_ready()
            yield SimpleNamespace(
                port=server.port,
                endpoint_url=server.endpoint_url,
                access_key_id=keys["s3_access_key_id"],
                secret_access_key=keys["s3_secret_access_key"],
            )
        finally:
            server.stop()


@pytest.fixture(scope="session")
def tls_redis(engine: None, certificates: Certificates, password: str):
    servers = {
        clients: redis(certificates, clients=clients, users={USER: password})
        for clients in ("no", "yes")
    }
    try:
        for server in servers.values():
            server.start()
        yield {clients: server.port for clients, server in servers.items()}
    finally:
        for server in servers.values():
            server.remove()


@pytest.fixture(scope="session")
def tls_kafka(engine: None, certificates: Certificates, password: str) -> Iterator[TlsKafka]:
    broker = TlsKafka(certificates, USER, password)
    try:
        broker.start()
        yield broker
    finally:
        broker.remove()
