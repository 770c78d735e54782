"""``fecapass dead-letters``: the messages that could not be processed, and why."""

from collections import Counter, deque
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.replay import Reasons, Since
from infra.terminal.library_logs import quiet_libraries

if TYPE_CHECKING:
    from config.settings import KafkaSettings
    from infra.operations.dead_letter_listing import Progress, Selection
    from infra.terminal.tables import Row
    from streams.dead_letters.dead_letter import DeadLetter


def dead_letters(
    topic: Annotated[
        str | None,
        typer.Argument(help="Only dead letters of camera.frames, photo.uploads or faces.detected."),
    ] = None,
    *,
    reason: Reasons = None,
    since: Since = None,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="Number of dead letters to show.")
    ] = 50,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the messages that could not be processed, latest last, and count them by reason.

    `fecapass replay` sends them again. With `--json`: an array with one object per dead letter.
    """
    import asyncio

    from config.settings import DetectSettings, load_settings
    from infra.operations.dead_letter_listing import Selection, UnknownTopicError, source_topic
    from infra.terminal.output import show_limit, show_listing
    from infra.terminal.progress_bar import progress_bar
    from infra.terminal.server_failures import expected_failures
    from infra.terminal.tables import Column, moment
    from streams.contract.topics import Topics

    quiet_libraries()
    kafka = load_settings(DetectSettings).kafka
    topics = Topics(kafka.topic_prefix)
    try:
        wanted = [source_topic(topic, topics)] if topic else list(topics.consumed)
    except UnknownTopicError as error:
        raise typer.BadParameter(str(error)) from error
    selection = Selection(frozenset(reason or ()), since=since.astimezone() if since else None)
    with expected_failures(), progress_bar("messages read") as progress:
        rows, counted = asyncio.run(_read(kafka, wanted, selection, limit, progress))
    columns = (
        Column("buried_at", "time", moment),
        Column("letter", "dead letter", whole=True),
        Column("event_id", "event", whole=True),
        Column("reason", "reason", style="bold"),
        Column("attempts", "attempts", justify="right"),
        Column("replayed", "replayed", lambda replayed: "yes" if replayed else "no"),
        Column("error", "error"),
    )
    show_listing(rows, columns, as_json=json, empty="no dead letters")
    if counted.total() > len(rows):
        show_limit(len(rows), "dead letters, the latest,", counted.total())
    if rows and not json:
        reasons = ", ".join(f"{name} {count}" for name, count in counted.most_common())
        typer.echo(f"{counted.total()} in all: {reasons}")


async def _read(
    kafka: "KafkaSettings",
    topics: list[str],
    selection: "Selection",
    limit: int,
    progress: "Progress",
) -> "tuple[list[Row], Counter[str]]":
    from infra.operations.dead_letter_listing import Copies, reading

    latest: deque[DeadLetter] = deque(maxlen=limit)
    counted: Counter[str] = Counter()
    replayed: set[str] = set()
    for topic in topics:
        async with reading(kafka, topic) as reader:
            receipts = await reader.receipts(progress)
            replayed |= receipts
            copies = Copies(receipts)
            async for page in reader.dead_letters(progress):
                replayed.update(
                    dead_letter.id for dead_letter in page if copies.is_replayed(dead_letter)
                )
                chosen = [
                    dead_letter
                    for dead_letter in page
                    if selection.takes(dead_letter) and copies.is_first(dead_letter)
                ]
                counted.update(dead_letter.reason for dead_letter in chosen)
                latest.extend(dead_letter.without_value() for dead_letter in chosen)
    by_time = sorted(latest, key=_written_at)
    return [_row(dead_letter, replayed) for dead_letter in by_time], counted


def _written_at(dead_letter: "DeadLetter") -> float:
    return dead_letter.written_at.timestamp() if dead_letter.written_at else 0.0


def _row(dead_letter: "DeadLetter", replayed: set[str]) -> "Row":
    return {
        "id": dead_letter.id,
        "letter": dead_letter.address,
        "topic": dead_letter.attributes.get("topic"),
        "original": dead_letter.original,
        "key": dead_letter.key.decode(errors="replace") if dead_letter.key else None,
        "event_id": dead_letter.event_id,
        "reason": dead_letter.reason,
        "error": dead_letter.attributes.get("error"),
        "attempts": dead_letter.attempts,
        "buried_at": dead_letter.written_at,
        "bytes": dead_letter.size,
        "value_left_out": "value_left_out" in dead_letter.attributes,
        "replayed": not replayed.isdisjoint({dead_letter.address, dead_letter.id}),
    }
