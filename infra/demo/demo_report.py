"""What the demonstration shows in the end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.table import Table

from infra.demo.contact_sheet import render_png
from infra.demo.demo_workers import Worker
from infra.demo.gateway import Gateway
from infra.demo.sheet import build_sheet
from infra.demo.sightings import Sighting, summary
from infra.embedded.stack import EmbeddedStack
from infra.terminal.tables import SEEN_COLUMNS, table
from streams.monitoring.pipeline_health import counted

_SHEET_NAME = "contact-sheet.png"


def show_seen(seen: Sequence[Sighting], console: Console) -> None:
    """The table of visits: who was where and when."""
    if rows := summary(seen):
        console.print(table(rows, SEEN_COLUMNS, title="Visits"))
    else:
        console.print("No face was seen.")


def show_gateway(gateway: Gateway, console: Console) -> None:
    """Where a browser finds the console."""
    console.print(f"Console and API: {gateway.address} (no API keys needed, loopback only)")
    if gateway.moved:
        console.print("Another program uses the usual port.")


def show_addresses(
    stack: EmbeddedStack, workers: Sequence[Worker], gateway: Gateway, console: Console
) -> None:
    """Where servers and workers answer."""
    addresses = Table("server", "address", box=None, title="Servers", title_justify="left")
    for server in stack.servers.values():
        addresses.add_row(server.title, server.address)
    for worker in workers:
        addresses.add_row(f"worker {worker.kind}", f"{worker.address}/metrics")
    addresses.add_row("console and API", gateway.address)
    console.print(addresses)


def write_sheet(
    seen: Sequence[Sighting],
    images: Mapping[UUID, bytes],
    cameras: Sequence[str],
    folder: Path,
) -> Path:
    """Draw the contact sheet into the folder; returns its path."""
    path = folder / _SHEET_NAME
    path.write_bytes(render_png(build_sheet(seen, images, cameras)))
    return path


def show_health(health: Mapping[str, Any] | None, console: Console) -> None:
    """Whether everything works in the end, in the words of ``/health``.

    Args:
        health: body of the answer; None when there was none.
        console: where it is shown.
    """
    if health is None:
        console.print("The API does not answer.")
    elif health["problems"]:
        console.print("Not everything works:")
        for problem in health["problems"]:
            console.print(f"  {problem}", markup=False, highlight=False)
    else:
        workers = health["pipeline"]["workers"]
        running = counted({role: state["running"] for role, state in workers.items()})
        waiting = sum(lag["messages"] for lag in health["pipeline"]["lag"].values())
        console.print(f"All systems up: {running} worker running, {waiting} messages to process")
