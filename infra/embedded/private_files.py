"""Files that hold secrets, and the lock on a data directory."""

import contextlib
import fcntl
import os
import tempfile
import time
from pathlib import Path
from typing import IO

from infra.embedded.embedded_errors import StackError
from infra.embedded.server_processes import is_alive

#: How long a start waits for the guard of a run that was killed to finish its work.
GUARD_GRACE_SECONDS = 20.0


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, all at once: readers see the old one or the new.

    Args:
        path: the file; its directory exists.
        text: the whole content.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:  # mkstemp makes it 0600
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log, for an error message; empty when there is none."""
    with contextlib.suppress(OSError):
        return "\n".join(path.read_text("utf-8", errors="replace").splitlines()[-lines:])
    return ""


class DataDirectoryLock:
    """Lets one stack at a time use a data directory.

    The kernel drops the lock with its holder, however that ends. Only the guard holds it without
    writing its process id: a start that meets the guard waits, one that meets a stack is refused.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock and write this process's id into it.

        Raises:
            StackError: a running stack holds it.
        """
        deadline = time.monotonic() + GUARD_GRACE_SECONDS
        while not self.try_acquire():
            holder = self._holder()
            if (holder is not None and is_alive(holder)) or time.monotonic() > deadline:
                raise StackError(
                    f"{self._path.parent} is in use by another fecapass stack (process {holder}); "
                    "stop it or choose another data directory"
                )
            time.sleep(0.1)
        assert self._file is not None  # noqa: S101 - try_acquire has just opened it
        self._file.seek(0)
        self._file.truncate()
        self._file.write(str(os.getpid()))
        self._file.flush()

    def try_acquire(self) -> bool:
        """Take the lock unless another process holds it; True when it was taken."""
        file = self._path.open("a+", encoding="ascii")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Release it; the file stays, since removing it would race with the next holder."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _holder(self) -> int | None:
        text = self._path.read_text(encoding="ascii").strip()
        return int(text) if text.isdigit() else None
