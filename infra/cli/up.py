"""``fecapass up``: the embedded servers in the foreground."""

import signal
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from infra.terminal.command_errors import CommandFailed

if TYPE_CHECKING:
    from rich.console import Console

    from infra.embedded.stack import EmbeddedStack

LOOK_SECONDS = 0.5


def up(
    data_dir: Annotated[
        Path,
        typer.Option(help="Directory for the servers' data; created if it is missing."),
    ] = Path(".fecapass"),
) -> None:
    """Run real servers for a first try: Postgres with pgvector, Valkey, S3 and a Kafka broker.

    They come from installed pip packages, listen only on 127.0.0.1, and run until Ctrl-C. Ports and
    passwords are created on the first start and kept, and the stores keep their data. The broker
    keeps everything in memory and loses it when it stops: it is for a demo and for tests, not for
    production.

    While the servers run, `stack.env` in the data directory contains the settings for them; only
    you can read it. Programs that you start in the same working directory read
    `.fecapass/stack.env` automatically; elsewhere, set FECAPASS_ENV_FILE to this file.

    If the process is killed, the servers are stopped anyway, at the latest by the next start.
    """
    from rich.console import Console

    from infra.embedded.embedded_errors import StackError
    from infra.embedded.stack import EmbeddedStack

    console = Console()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    stack = EmbeddedStack(data_dir)
    try:
        with console.status(f"Starting the servers in {stack.data_dir}"):
            stack.start()
        _describe(stack, console)
        _watch(stack)
    except StackError as error:
        raise CommandFailed(str(error)) from error
    except KeyboardInterrupt:
        console.print("Stopping the servers (Ctrl-C again to kill them)")
    finally:
        stack.stop()
    console.print("Stopped; the data of the stores stays in", str(stack.data_dir))


def _watch(stack: "EmbeddedStack") -> NoReturn:
    """Wait for an interrupt; the unexpected end of a server is a failure."""
    while True:
        for server in stack.ended():
            raise CommandFailed(f"{server.title} has ended unexpectedly; its log is {server.log}")
        time.sleep(LOOK_SECONDS)


def _describe(stack: "EmbeddedStack", console: "Console") -> None:
    """Print all addresses; passwords are in the file that is named, not on the screen."""
    from rich.table import Table

    for leftover in stack.leftovers:
        console.print(f"Ended {leftover.name} (process {leftover.pid}), left by a killed run")
    table = Table("server", "address", "log")
    for server in stack.servers.values():
        table.add_row(server.title, server.address, str(server.log))
    console.print(table)
    console.print("Settings with passwords (while this runs):", str(stack.env_file))
    console.print("Press Ctrl-C to stop.")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
