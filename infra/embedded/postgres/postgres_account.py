"""The account that Postgres runs as, and what that account can reach.

Postgres refuses to run as root. No operating-system account is created and no permission of other
directories is changed: root runs it as ``postgres`` where that account exists, else as ``nobody``.
"""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.embedded.embedded_errors import StackError


@dataclass(frozen=True)
class Account:
    """An unprivileged account, by its numbers."""

    uid: int
    gid: int


def unprivileged_account(owner_of: Path | None = None) -> Account | None:
    """The account for programs that refuse to run as root; None when we are not root.

    Args:
        owner_of: an existing directory of that program, as whose owner it must continue to run.

    Raises:
        StackError: neither ``postgres`` nor ``nobody`` exists.
    """
    if os.geteuid() != 0:
        return None
    if owner_of is not None and owner_of.exists():
        status = owner_of.stat()
        if status.st_uid != 0:
            return Account(status.st_uid, status.st_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise StackError(
        "Postgres cannot run as root and there is no account 'postgres' or 'nobody'; "
        "start the stack as a normal user"
    )


def can_enter(directory: Path, account: Account | None) -> bool:
    """Whether the account can change into the directory. Tried, not computed from the modes."""
    return _succeeds(["/bin/sh", "-c", 'cd -- "$1"', "sh", str(directory)], account)


def can_run(program: Path, account: Account | None) -> bool:
    """Whether the account can run the program, its shared libraries included."""
    return _succeeds([str(program), "--version"], account)


def _succeeds(arguments: list[str], account: Account | None) -> bool:
    try:
        done = subprocess.run(  # noqa: S603 - fixed programs, no user input but a path
            arguments,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except PermissionError:
        return False
    return done.returncode == 0
