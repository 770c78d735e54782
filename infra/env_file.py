"""``python3 -m infra.env_file [FILE]``: a first ``.env`` for docker-compose.yml.

Passwords have no defaults: they are made here, afresh for every deployment. The same file serves
programs on the host (``fecapass publish``), which reach the servers through loopback. An existing
file is never overwritten. The standard library is all it needs.
"""

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_FILE = Path(".env")
_PASSWORD_BYTES = 24
_ACCESS_KEY_BYTES = 10


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that only docker-compose.yml reads.

    Attributes:
        name: as compose interpolates it.
        default: what compose takes when it is not set; empty for one that is required.
        description: one line.
    """

    name: str
    default: str
    description: str


#: docker-compose.yml's own variables; the others that it reads are settings of Fecapass.
VARIABLES = (
    Variable("KAFKA_PORT", "9092", "Port of Kafka on the host."),
    Variable("S3_PORT", "8333", "Port of the object store on the host."),
    Variable("PROMETHEUS_PORT", "9090", "Port of Prometheus on the host (profile observability)."),
    Variable("GRAFANA_PORT", "3000", "Port of Grafana on the host (profile observability)."),
    Variable("GRAFANA_ADMIN_PASSWORD", "", "Password of Grafana's user admin. Required."),
    Variable("KAFKA_HEAP_OPTS", "-Xms512m -Xmx512m", "Memory of Kafka's Java machine."),
)

#: Ports on the host, by the variable that names each.
PORTS: Mapping[str, int] = {
    "FECAPASS_MAIN_DB__PORT": 5432,
    "FECAPASS_VECTOR_DB__PORT": 5433,
    "FECAPASS_REDIS__PORT": 6379,
    "FECAPASS_API__PORT": 8000,
    "KAFKA_PORT": 9092,
    "S3_PORT": 8333,
    "PROMETHEUS_PORT": 9090,
    "GRAFANA_PORT": 3000,
}


def variables(ports: Mapping[str, int] = PORTS) -> dict[str, str]:
    """All variables that a deployment by docker-compose.yml needs, with new secrets.

    Args:
        ports: on the host, by variable, as in `PORTS`.
    """
    return {
        **{name: str(port) for name, port in ports.items()},
        "FECAPASS_KAFKA__BOOTSTRAP_SERVERS": f"localhost:{ports['KAFKA_PORT']}",
        "FECAPASS_S3__ENDPOINT_URL": f"http://127.0.0.1:{ports['S3_PORT']}",
        "FECAPASS_S3__ACCESS_KEY_ID": secrets.token_hex(_ACCESS_KEY_BYTES),
        "FECAPASS_S3__SECRET_ACCESS_KEY": secrets.token_urlsafe(_PASSWORD_BYTES),
        "FECAPASS_MAIN_DB__PASSWORD": secrets.token_urlsafe(_PASSWORD_BYTES),
        "FECAPASS_VECTOR_DB__PASSWORD": secrets.token_urlsafe(_PASSWORD_BYTES),
        "FECAPASS_REDIS__PASSWORD": secrets.token_urlsafe(_PASSWORD_BYTES),
        "GRAFANA_ADMIN_PASSWORD": secrets.token_urlsafe(_PASSWORD_BYTES),
    }


def render(values: Mapping[str, str]) -> str:
    """The text of an environment file."""
    return "\n".join(_lines(values)) + "\n"


def _lines(values: Mapping[str, str]) -> Iterator[str]:
    yield "# For docker-compose.yml and programs on this host. It holds passwords: keep it private."
    yield "# .env.example describes every setting that may be added here."
    yield from (f"{name}={value}" for name, value in values.items())


def write(path: Path, values: Mapping[str, str]) -> None:
    """Write a new file that only its owner can read.

    Raises:
        FileExistsError: there is one already; it is left as it is.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(render(values))


def main() -> int:
    """Write the file named on the command line, or ``.env``; returns the exit code."""
    path = Path(sys.argv[1]) if sys.argv[1:] else DEFAULT_FILE
    try:
        write(path, variables())
    except FileExistsError:
        sys.stderr.write(f"{path} is there and stays: its passwords are those of the volumes\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"cannot write {path}: {error.strerror}\n")
        return 1
    sys.stdout.write(f"wrote {path} with fresh passwords\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
