"""``fecapass reconcile``, ``retain`` and ``maintain``: maintenance of the stores."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from config.settings import Settings
    from infra.maintenance.maintenance_stores import MaintenanceStores, Progress

T = TypeVar("T")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Check, and change nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def reconcile(
    *,
    dry_run: DryRun = False,
    grace: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="MINUTES",
            help="Younger data counts as work in progress. "
            "Default: FECAPASS_MAINTENANCE__GRACE (seconds).",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Find and repair inconsistencies that a crash left between the stores.

    You can repeat it, and run it while workers run. The exit code is 0 if the stores now agree, and
    1 if something was not repaired: after a dry run, or because a worker was using it.
    """
    from infra.maintenance.faults import REPAIRS
    from infra.maintenance.reconcile import Reconciler
    from infra.terminal.output import show_listing
    from infra.terminal.tables import Column

    settings = _settings()
    if grace is not None:
        changed = settings.maintenance.model_copy(update={"grace": grace * 60})
        settings = settings.model_copy(update={"maintenance": changed})
    counts = _run(
        settings,
        lambda stores, progress: Reconciler(stores, settings, dry_run, progress).run(),
    )
    columns = (
        Column("fault", "fault", style="bold"),
        Column("checked", "checked", justify="right"),
        Column("found", "found", justify="right"),
        Column("repaired", "repaired", justify="right"),
        Column("left", "left", justify="right"),
        Column("repair", "repair"),
    )
    rows = [
        {
            "fault": one.fault.value,
            "checked": one.checked,
            "found": one.found,
            "repaired": one.repaired,
            "left": one.left,
            "repair": REPAIRS[one.fault],
        }
        for one in counts
    ]
    show_listing(rows, columns, as_json=json, empty="nothing was looked at")
    if left := sum(one.left for one in counts):
        why = "dry run" if dry_run else "in use; run it again later"
        raise CommandFailed(f"faults left: {left} ({why})")


def retain(*, dry_run: DryRun = False, json: Json = False) -> None:
    """Delete data that is older than FECAPASS_RETENTION__* allows, in bounded batches.

    Sightings are deleted with their crops, snapshots and embeddings. Enrolled faces, templates and
    the audit trail stay. If a setting is unset, everything is kept but snapshots that no visit is
    shown by: these are deleted ten minutes after the end of the visit.
    """
    import msgspec

    from infra.maintenance.retention import retain as work
    from infra.terminal.output import show_listing
    from infra.terminal.tables import Column

    settings = _settings()
    done = _run(
        settings, lambda stores, progress: work(stores, settings, progress, dry_run=dry_run)
    )
    columns = (
        Column("what", "what", style="bold"),
        Column("days", "kept for days"),
        Column("found", "too old", justify="right"),
        Column("deleted", "deleted", justify="right"),
    )
    rows = [msgspec.structs.asdict(one) for one in done]
    show_listing(rows, columns, as_json=json, empty="nothing was looked at")


def maintain(
    health_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port of /health and /metrics; 0 chooses a free one. "
            "Default: FECAPASS_WORKERS__HEALTH_PORT.",
        ),
    ] = None,
) -> None:
    """Run `retain` and `reconcile` periodically; one such process is enough.

    FECAPASS_MAINTENANCE__INTERVAL says how often. SIGTERM or Ctrl-C ends it at once: the next round
    finds unfinished work.
    """
    import asyncio

    from config.observability.logging import configure_logging
    from config.settings import get_settings
    from infra.maintenance.maintenance_process import Maintenance
    from infra.terminal.server_failures import expected_failures

    settings = get_settings()
    if health_port is not None:
        workers = settings.workers.model_copy(update={"health_port": health_port})
        settings = settings.model_copy(update={"workers": workers})
    configure_logging(settings)
    with expected_failures():
        asyncio.run(Maintenance(settings).run())


def _settings() -> "Settings":
    from config.settings import get_settings

    quiet_libraries()
    return get_settings()


def _run(
    settings: "Settings", work: "Callable[[MaintenanceStores, Progress], Awaitable[list[T]]]"
) -> list[T]:
    import asyncio

    from infra.maintenance.maintenance_stores import MaintenanceStores
    from infra.terminal.server_failures import expected_failures
    from sinks.stores import opened

    async def run() -> list[T]:
        async with opened(MaintenanceStores.of(settings)) as stores:
            with _shown() as progress:
                return await work(stores, progress)

    with expected_failures():
        return asyncio.run(run())


@contextmanager
def _shown() -> "Iterator[Progress]":
    """Progress on standard error, if that is a terminal."""
    from rich.console import Console

    with Console(stderr=True).status("connected") as status:
        yield lambda what, done: status.update(f"{what}: {done}")
