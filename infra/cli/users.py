"""``fecapass users``: the enrolled users and their photos."""

from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from infra.operations.user_listing import UserLine
    from infra.terminal.tables import Row
    from services.face_erasure import Sessions
    from sinks.main.schema import Face, User

app = typer.Typer(no_args_is_help=True, help="List users, show one user, remove a photo.")

T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(name="list")
def list_(
    *,
    text: Annotated[
        str | None,
        typer.Option(
            "--search", help="Only users with this text in the name, address or external id."
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Number of users to show.")
    ] = 1000,
    json: Json = False,
) -> None:
    """List the users by address, with the number of enrolled photos."""
    from infra.operations.user_listing import list_users
    from infra.terminal.output import show_limit, show_listing
    from infra.terminal.tables import Column, moment

    async def work(sessions: "Sessions") -> "tuple[list[UserLine], int]":
        async with sessions() as session:
            return await list_users(session, text, limit)

    lines, total = _with_sessions(work)
    columns = (
        Column("email", "address", style="bold", whole=True),
        Column("full_name", "name"),
        Column("external_id", "external id"),
        Column("photos", "photos", justify="right"),
        Column("is_active", "active", lambda active: "yes" if active else "no"),
        Column("created_at", "created", moment),
        Column("id", "id", whole=True),
    )
    rows = [{**_row(line.user), "photos": line.photos} for line in lines]
    show_listing(rows, columns, as_json=json, empty="there are no users")
    if total > len(rows):
        show_limit(len(rows), "users", total)


@app.command()
def show(
    user: Annotated[str, typer.Argument(help="Id, e-mail address or external id of the user.")],
    *,
    json: Json = False,
) -> None:
    """Show the enrolled photos of a user, one row for each photo and model.

    With `--json`: one object with the user and an array of the photos.
    """
    from infra.operations.user_listing import photos_of
    from infra.terminal.output import show_listing, write_json
    from infra.terminal.tables import Column, moment, plain, score
    from services.user_lookup import find_user

    async def work(sessions: "Sessions") -> "tuple[User, list[Face]]":
        async with sessions() as session:
            found = await find_user(session, user)
            return found, await photos_of(session, found.id)

    found, faces = _with_sessions(work)
    rows = [_photo(face) for face in faces]
    if json:
        write_json({**_row(found), "photos": rows})
        return
    active = "" if found.is_active else "deactivated"
    said = (found.full_name, found.email, found.external_id, str(found.id), active)
    typer.echo(plain(", ".join(one for one in said if one)))
    for key, value in sorted(found.user_metadata.items()):
        typer.echo(plain(f"  {key}: {value}"))
    columns = (
        Column("photo_id", "photo", whole=True),
        Column("sent_at", "sent", moment),
        Column("model", "model"),
        Column("quality", "quality", score, justify="right"),
        Column("face_id", "face", whole=True),
    )
    show_listing(rows, columns, as_json=False, empty="no photo is enrolled")


@app.command()
def remove_photo(
    photo: Annotated[
        UUID, typer.Argument(help="Id of the photo or its face, as `show` prints it.")
    ],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove one photo; the user's template is computed again from the others.

    The photo's face, crop and embedding are deleted for every model. You can enrol the same photo
    again.
    """
    from config.settings import get_settings
    from infra.operations.user_listing import remove_photo as remove
    from infra.photos.upload_requests import actor
    from sinks.stores import Stores, opened

    if not yes:
        typer.confirm(f"Delete the photo {photo} permanently?", abort=True, err=True)

    async def work(sessions: "Sessions") -> "Sequence[Face]":
        async with opened(Stores.of(get_settings())) as stores:
            return await remove(stores, sessions, photo, actor())

    faces = _with_sessions(work)
    typer.echo(f"removed the photo {faces[0].event_uuid} of the user {faces[0].user_id}")


def _with_sessions(work: "Callable[[Sessions], Awaitable[T]]") -> T:
    """Run something with sessions on the main database.

    Raises:
        CommandFailed: there is no such user or photo, or a store is unavailable.
    """
    import asyncio

    from config.settings import get_settings
    from domain.user_errors import NoSuchUserError
    from infra.terminal.server_failures import expected_failures
    from sinks.main.database_sessions import Databases

    quiet_libraries()

    async def run() -> T:
        async with Databases(get_settings()) as databases:
            return await work(databases.main)

    with expected_failures():
        try:
            return asyncio.run(run())
        except NoSuchUserError as error:
            raise CommandFailed(str(error)) from error


def _row(user: "User") -> "Row":
    return {
        "id": user.id,
        "email": user.email,
        "full_name": user.full_name,
        "external_id": user.external_id,
        "metadata": user.user_metadata,
        "is_active": user.is_active,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
    }


def _photo(face: "Face") -> "Row":
    return {
        "photo_id": face.event_uuid,
        "sent_at": face.captured_at,
        "model": face.model,
        "quality": face.quality,
        "face_id": face.id,
    }
