"""``fecapass keys``: who may call the HTTP API."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from infra.terminal.command_errors import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncSession

    from infra.terminal.tables import Row
    from sinks.main.schema import ApiKey

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke keys of the HTTP API.")

T = TypeVar("T")

_LONGEST_NAME = 100


class ScopeName(StrEnum):
    """What a key allows; ``admin`` includes all scopes."""

    READ = "read"
    ENROL = "enrol"
    SEARCH = "search"
    ADMIN = "admin"


Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the client that gets the key.")],
    *,
    scope: Annotated[
        list[ScopeName], typer.Option(help="What the key allows; may be given several times.")
    ],
    json: Json = False,
) -> None:
    """Create a key and print it. It is shown only once: only its hash is stored."""
    import sys

    from infra.photos.upload_requests import actor
    from services.api_keys import create_key

    name = name.strip()
    if not name.isprintable() or not 1 <= len(name) <= _LONGEST_NAME:
        raise typer.BadParameter(
            f"it must have 1 to {_LONGEST_NAME} printable characters", param_hint="NAME"
        )
    scopes = [one.value for one in dict.fromkeys(scope)]

    async def work(session: "AsyncSession") -> "tuple[ApiKey, str]":
        return await create_key(session, name, scopes, actor())

    row, key = _in_main_database(work)
    if json:
        from infra.terminal.output import write_json

        write_json([{**_row(row), "key": key}])
    else:
        sys.stdout.write(f"{key}\n")


@app.command(name="list")
def list_(*, json: Json = False) -> None:
    """List all keys, including revoked ones. The list does not contain the secrets."""
    from infra.terminal.output import show_listing
    from infra.terminal.tables import Column, joined, moment
    from services.api_keys import list_keys

    columns = (
        Column("id", "id", whole=True),
        Column("name", "name", style="bold"),
        Column("scopes", "scopes", joined),
        Column("created_at", "made", moment),
        Column("revoked_at", "revoked", moment),
    )
    rows = [_row(key) for key in _in_main_database(list_keys)]
    show_listing(rows, columns, as_json=json, empty="there are no keys")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the key, as `list` shows it.")],
) -> None:
    """Revoke a key; it is refused within two seconds."""
    from infra.photos.upload_requests import actor
    from services.api_keys import revoke_key

    async def work(session: "AsyncSession") -> bool:
        return await revoke_key(session, key_id, actor())

    if not _in_main_database(work):
        raise CommandFailed(f"there is no key {key_id} that is not revoked")
    typer.echo(f"revoked {key_id}")


def _in_main_database(work: "Callable[[AsyncSession], Awaitable[T]]") -> T:
    """Run something in one transaction.

    Raises:
        CommandFailed: the database is unavailable, or not initialised.
    """
    import asyncio

    from sqlalchemy.exc import DBAPIError

    from config.settings import get_settings
    from sinks.main.database_sessions import Databases
    from sinks.store_errors import StoreUnavailable

    settings = get_settings()

    async def run() -> T:
        async with Databases(settings) as databases, databases.main.begin() as session:
            return await work(session)

    try:
        return asyncio.run(run())
    except DBAPIError as error:
        line = str(error.orig).partition("\n")[0].rpartition(">: ")[2]
        raise CommandFailed(f"main database {settings.main_db.safe_url}: {line}") from error
    except StoreUnavailable as error:
        raise CommandFailed(str(error)) from error
    except OSError as error:
        raise CommandFailed(f"main database {settings.main_db.safe_url}: {error}") from error


def _row(key: "ApiKey") -> "Row":
    return {
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    }
