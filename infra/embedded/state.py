"""What a data directory remembers: the ports and the passwords of its servers."""

import json
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.embedded.errors import StackError
from infra.embedded.files import write_private

LOOPBACK = "127.0.0.1"

#: SeaweedFS gives each HTTP port a gRPC port this much higher; all ports keep the rule.
GRPC_OFFSET = 10_000

# Both a port and its gRPC port stay below 32768, where Linux begins to hand out the ports of
# outgoing connections, one of which could otherwise sit on a remembered port at the next start.
_LOWEST, _HIGHEST = 10_240, 22_000

PORTS = ("postgres", "redis", "kafka", "s3", "s3_master", "s3_volume", "s3_filer", "s3_admin")
SECRETS = (
    "postgres_password",
    "redis_password",
    "s3_access_key_id",
    "s3_secret_access_key",
    "s3_internal_key",
)


@dataclass(frozen=True)
class StackState:
    """The memory of a data directory.

    Attributes:
        ports: a port for each of `PORTS`, on loopback.
        secrets: a secret for each of `SECRETS`.
    """

    ports: dict[str, int]
    secrets: dict[str, str]


def load_state(path: Path) -> StackState:
    """Read the state, fill what is missing, replace ports that are taken, and write it back.

    Args:
        path: the file; made with mode 0600 on the first start.

    Raises:
        StackError: the file cannot be read, or no free port is found.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise StackError(f"cannot read {path}: {error}") from error
    ports: dict[str, int] = {}
    for name in PORTS:
        remembered = stored.get("ports", {}).get(name)
        usable = remembered is not None and remembered not in ports.values()
        ports[name] = (
            remembered if usable and _is_free(remembered) else _free_port(set(ports.values()))
        )
    known = stored.get("secrets", {})
    state = StackState(ports, {name: known.get(name) or _new_secret(name) for name in SECRETS})
    write_private(path, json.dumps(asdict(state), indent=1))
    return state


def _new_secret(name: str) -> str:
    """Hexadecimal, so that no configuration file or URL needs to quote it."""
    return secrets.token_hex(10 if name == "s3_access_key_id" else 24)


def _free_port(taken: set[int]) -> int:
    for _ in range(1000):
        port = _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST)
        if port not in taken and _is_free(port):
            return port
    raise StackError(f"no free port between {_LOWEST} and {_HIGHEST} on {LOOPBACK}")


def _is_free(port: int) -> bool:
    for number in (port, port + GRPC_OFFSET):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, number))
            except OSError:
                return False
    return True
