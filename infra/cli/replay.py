"""``fecapass replay``: send dead letters to their topic again."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries

if TYPE_CHECKING:
    from infra.operations.dead_letter_listing import ReplayReport

Reasons = Annotated[
    list[str] | None,
    typer.Option("--reason", help="Only dead letters with this dlq_reason; may be repeated."),
]
Since = Annotated[
    datetime | None, typer.Option(help="Only dead letters written at this time (local) or later.")
]


def replay(
    topic: Annotated[
        str, typer.Argument(help="The topic of the dead letters: camera.frames, photo.uploads, ...")
    ],
    *,
    reason: Reasons = None,
    event_id: Annotated[
        list[str] | None,
        typer.Option(
            "--id",
            help="Only dead letters of this event (ce_id), or at this topic/partition/offset (of "
            "the dead letter or of the original); may be repeated.",
        ),
    ] = None,
    since: Since = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also dead letters that were replayed before.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be replayed, and do nothing.")
    ] = False,
) -> None:
    """Send the dead letters of a topic to it again: all of them, or a selection.

    A message is sent unchanged and keeps its identity, so the replay of a message that was
    processed before changes nothing. Dead letters that arrive during the run are left for the next
    run, and two runs never replay the same dead letter, except with `--again`. Dead letters whose
    value was too large to be kept cannot be replayed; each of them is listed.
    """
    import asyncio

    from config.settings import DetectSettings, load_settings
    from infra.operations.dead_letter_listing import Selection, UnknownTopicError, source_topic
    from infra.operations.dead_letter_listing import replay as run_replay
    from infra.terminal.progress_bar import progress_bar
    from infra.terminal.server_failures import expected_failures
    from streams.contract.topics import Topics

    quiet_libraries()
    kafka = load_settings(DetectSettings).kafka
    try:
        full_name = source_topic(topic, Topics(kafka.topic_prefix))
    except UnknownTopicError as error:
        raise typer.BadParameter(str(error)) from error
    selection = Selection(
        frozenset(reason or ()),
        frozenset(event_id or ()),
        since.astimezone() if since else None,
    )
    with expected_failures(), progress_bar("dead letters read") as progress:
        report = asyncio.run(
            run_replay(kafka, full_name, selection, again=again, dry_run=dry_run, progress=progress)
        )
    for address, why in report.impossible.items():
        typer.echo(f"{address} cannot be replayed: {why}", err=True)
    typer.echo(_line(report, dry_run=dry_run))
    if selection.ids and not report.replayed:
        raise CommandFailed("no dead letter with this id was replayed")


def _line(report: "ReplayReport", *, dry_run: bool) -> str:
    count = report.replayed.total()
    reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(report.replayed.items()))
    parts = [
        f"{'would replay' if dry_run else 'replayed'} {count} dead letter{'s' * (count != 1)} "
        f"to {report.topic}" + (f" ({reasons})" if reasons else "")
    ]
    if report.earlier:
        parts.append(f"{report.earlier} were replayed before (--again repeats them)")
    if report.impossible:
        parts.append(f"{len(report.impossible)} cannot be replayed")
    return "; ".join(parts)
