"""A process of our own that watches this one, and outlives it, Ctrl-C and SIGKILL.

What a guard does when this process has ended is its module's affair.
"""

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Self

#: In the environment of all that a run has started: the run's id.
RUN_VARIABLE = "FECAPASS_RUN"

_ROOT = Path(__file__).resolve().parents[2]


class GuardProcess:
    """A guard of this process; `dismiss` it when all that was started has ended."""

    def __init__(self, module: str, *arguments: str | Path) -> None:
        """Begin to watch.

        Args:
            module: the guard's, started as a program.
            arguments: of the program.
        """
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", module, *arguments],
            cwd=_ROOT,  # where the package is found, installed or not
            # The guard of an outer run spares those that do not have its id.
            env={name: value for name, value in os.environ.items() if name != RUN_VARIABLE},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """End the guard: there is nothing left to guard."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.dismiss()


def wait_for_end(parent: int) -> None:
    """Wait until the process that has started this one ends, however it ends."""
    try:
        descriptor = os.pidfd_open(parent)
    except ProcessLookupError:
        return
    # Opened too late, the descriptor may be of another process with the same number.
    if os.getppid() == parent:
        select.select([descriptor], [], [])
