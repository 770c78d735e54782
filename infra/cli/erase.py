"""``fecapass erase``: delete a user from every store, with a receipt."""

from typing import TYPE_CHECKING, Annotated

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries

if TYPE_CHECKING:
    from uuid import UUID

    from config.settings import Settings
    from infra.terminal.tables import Row
    from services.erasure import Receipt


def erase(
    user: Annotated[str, typer.Argument(help="Id, e-mail address or external id of the user.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what exists, and change nothing.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Erase a user from every store, check each store again, and print a receipt.

    Templates, crops, snapshots, photos, cache entries and the user are deleted; sightings by
    cameras become unknown. An event in flight cannot bring the data back. The exit code is 1 if the
    second check found something. The receipt also lists data that cannot be deleted: messages in
    Kafka until their retention ends, and matches that `faces.matches` has announced.
    """
    import asyncio

    import msgspec

    from config.settings import get_settings
    from infra.terminal.server_failures import expected_failures

    quiet_libraries()
    settings = get_settings()
    with expected_failures():
        user_id = asyncio.run(_find(settings, user))
        if not (yes or dry_run):
            typer.confirm(f"Erase {user} ({user_id}) permanently?", abort=True, err=True)
        receipt = asyncio.run(_erase(settings, user_id, dry_run=dry_run))
    remains = _remains(settings)
    if json:
        from infra.terminal.output import write_json

        document = {
            "user_id": receipt.user_id,
            "dry_run": receipt.dry_run,
            "complete": receipt.complete,
            "checks": [msgspec.structs.asdict(check) for check in receipt.checks],
            "remains": remains,
        }
        write_json(document)
    else:
        _show(receipt, remains)
    if not (receipt.complete or dry_run):
        raise CommandFailed(f"something is left of {user_id}; run it again with this id")


def _show(receipt: "Receipt", remains: "list[Row]") -> None:
    from infra.terminal.output import print_table
    from infra.terminal.tables import Column, table

    columns = (
        Column("store", "store", style="bold"),
        Column("what", "what"),
        Column("found", "found", justify="right"),
        Column("removed", "removed", justify="right"),
        Column("left", "left", justify="right"),
    )
    rows = [
        {"store": c.store, "what": c.what, "found": c.found, "removed": c.removed, "left": c.left}
        for c in receipt.checks
    ]
    title = "Dry run: nothing was changed" if receipt.dry_run else f"Erased {receipt.user_id}"
    print_table(table(rows, columns, title=title))
    kept = (
        Column("where", "not deleted", style="bold", whole=True),
        Column("why", "why, and for how long"),
    )
    print_table(table(remains, kept))


async def _find(settings: "Settings", user: str) -> "UUID":
    """The user's id, also of a user that was erased before.

    Raises:
        CommandFailed: there is no such user.
    """
    from contextlib import suppress
    from uuid import UUID

    from domain.user_errors import NoSuchUserError
    from services.user_lookup import find_user
    from sinks.main.database_sessions import Databases
    from sinks.vector.vector_store import Vectors

    async with Databases(settings) as databases, databases.main() as session:
        try:
            return (await find_user(session, user)).id
        except NoSuchUserError as error:
            failed = CommandFailed(str(error))
    with suppress(ValueError):
        async with Vectors(settings.vector_db) as vectors:
            if await vectors.is_erased(user_id := UUID(user)):
                return user_id
    raise failed


async def _erase(settings: "Settings", user_id: "UUID", *, dry_run: bool) -> "Receipt":
    from domain.personal_data import Author
    from infra.photos.upload_requests import actor
    from services.erasure import erase as erase_person
    from services.erasure import look_for
    from sinks.stores import Stores, opened

    async with opened(Stores.of(settings)) as stores:
        if dry_run:
            return await look_for(stores, user_id)
        return await erase_person(stores, user_id, Author(actor()))


def _remains(settings: "Settings") -> "list[Row]":
    """Data that an erasure does not reach, and how long it is kept."""
    from infra.database.create_topics import plan_topics
    from streams.contract.topics import Topics

    topics = Topics(settings.kafka.topic_prefix)
    holds = {
        topics.frames: "frames that may show the person",
        topics.uploads: "photos that were sent",
        topics.detected: "faces found in them",
        topics.matches: "announced matches: their readers may keep them for longer",
        topics.visits: "announced visits: their readers may keep them for longer",
        topics.people: "announced corrections, merges and promotions: ids alone",
    }
    kept: list[Row] = []
    for plan in plan_topics(settings.kafka):
        source = plan.name.removesuffix(".dlq")
        if source not in holds:
            continue  # heartbeats of workers and counts of faces name no user
        what = holds[source] if source == plan.name else f"dead letters: {holds[source]}"
        kept.append(
            {"where": f"kafka {plan.name}", "why": f"{what}; for {plan.retention_hours:g} h"}
        )
    kept.append({"where": "main audit", "why": "who erased whom: only ids; for ever"})
    kept.append({"where": "vector tombstone", "why": "the id, against events in flight; for ever"})
    kept.append({"where": "redis tombstone", "why": "the id, against events in flight; for 7 days"})
    kept.append({"where": "backups", "why": "erase again by the id after a restore"})
    return kept
