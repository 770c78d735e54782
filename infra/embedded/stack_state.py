"""What a data directory remembers: the ports and the passwords of its servers."""

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.embedded.embedded_errors import StackError
from infra.embedded.private_files import write_private
from infra.processes.ports import NoPortError, Ports

LOOPBACK = "127.0.0.1"

#: SeaweedFS gives each HTTP port a gRPC port this much higher; all ports keep the rule.
GRPC_OFFSET = 10_000

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


def load_state(path: Path, held: Ports) -> StackState:
    """Read the state, fill what is missing, replace ports that are taken, and write it back.

    Args:
        path: the file; made with mode 0600 on the first start.
        held: keeps the ports for this process.

    Raises:
        StackError: the file cannot be read, or no free port is found.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise StackError(f"cannot read {path}: {error}") from error
    remembered = stored.get("ports", {})
    try:
        ports = {name: held.take(remembered.get(name)) for name in PORTS}
    except NoPortError as error:
        raise StackError(str(error)) from error
    known = stored.get("secrets", {})
    state = StackState(ports, {name: known.get(name) or _new_secret(name) for name in SECRETS})
    write_private(path, json.dumps(asdict(state), indent=1))
    return state


def _new_secret(name: str) -> str:
    """Hexadecimal, so that no configuration file or URL needs to quote it."""
    return secrets.token_hex(10 if name == "s3_access_key_id" else 24)
