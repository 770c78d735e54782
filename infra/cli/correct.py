"""``fecapass correct``: what people say of faces, visits and users."""

from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from domain.people.stored_corrections import Correction
    from infra.operations.correction_requests import CorrectionClient

app = typer.Typer(
    no_args_is_help=True, help="Correct who a face is, merge users, take photos out; and undo it."
)

T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
UserName = Annotated[str, typer.Argument(metavar="USER", help="Id or e-mail address of the user.")]
OtherName = Annotated[
    str, typer.Argument(metavar="OTHER", help="Id or e-mail address of the other user.")
]
FaceId = Annotated[UUID | None, typer.Option("--face", help="Id of the face.")]
VisitId = Annotated[UUID | None, typer.Option("--visit", help="Id of the visit.")]


@app.command("not")
def not_(user: UserName, *, face: FaceId = None, visit: VisitId = None, json: Json = False) -> None:
    """Say that a face, or the person of a visit, is not this user.

    A later face that is as close to it as to the user's template is unknown (`vetoed`).
    """
    _require_one(face, visit)
    _show(_run(lambda client: client.label(user, face, visit, is_user=False)), as_json=json)


@app.command("is")
def is_(
    user: UserName,
    *,
    face: FaceId = None,
    visit: VisitId = None,
    enrol: Annotated[
        bool, typer.Option("--enrol", help="Enrol the crop as a photo, if it passes the checks.")
    ] = False,
    json: Json = False,
) -> None:
    """Say that a face, or the person of a visit, is this user."""
    _require_one(face, visit)

    async def work(client: "CorrectionClient") -> "tuple[Correction, str | None]":
        correction = await client.label(user, face, visit, is_user=True)
        return correction, await client.enrol(correction) if enrol else None

    correction, said = _run(work)
    _show(correction, as_json=json)
    if said is not None:
        typer.echo(said, err=json)


@app.command()
def merge(user: UserName, other: OtherName, *, json: Json = False) -> None:
    """Say that OTHER is the same person as USER, who is left with all photos and sightings."""
    _show(_run(lambda client: client.merge(user, other)), as_json=json)


@app.command()
def split(
    user: UserName,
    other: OtherName,
    photos: Annotated[list[UUID], typer.Argument(help="Ids of the photos' faces.")],
    *,
    json: Json = False,
) -> None:
    """Say that photos of USER show OTHER."""
    _show(_run(lambda client: client.split(user, other, photos)), as_json=json)


@app.command("photo-out")
def photo_out(
    user: UserName,
    photo: Annotated[UUID, typer.Argument(help="Id of the photo's face.")],
    *,
    json: Json = False,
) -> None:
    """Take a photo out of a user's template; after 30 days it is deleted."""
    _show(_run(lambda client: client.take_out(user, photo)), as_json=json)


@app.command()
def undo(
    correction: Annotated[UUID, typer.Argument(help="Id of the correction.")],
    *,
    json: Json = False,
) -> None:
    """Undo a correction, within 30 days; also a name given to an unknown, or a dismissal.

    A user that `fecapass unknowns promote` has made stays, without the photos that it enrolled.
    """
    _show(_run(lambda client: client.undo(correction)), as_json=json)


@app.command("list")
def list_(
    *,
    user: Annotated[
        str | None, typer.Option(help="Only corrections of this user: id or e-mail address.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Number to show.")] = 50,
    json: Json = False,
) -> None:
    """List corrections and undos, newest first; also names given to unknowns, and dismissals."""
    from infra.operations.correction_requests import correction_row
    from infra.terminal.output import show_limit, show_listing
    from infra.terminal.tables import Column, moment

    found = _run(lambda client: client.list(limit + 1, user))
    columns = (
        Column("made_at", "made", moment),
        Column("kind", "kind", style="bold"),
        Column("user_id", "user", whole=True),
        Column("subject", "face, visit, unknown or user", whole=True),
        Column("can_be_undone", "can be undone", lambda can: "yes" if can else "no"),
        Column("id", "id", whole=True),
    )
    rows = [correction_row(one) for one in found[:limit]]
    if not json:
        rows = [
            {
                **row,
                "subject": row["face_id"]
                or row["visit_id"]
                or row["unknown_id"]
                or row["other_user_id"],
            }
            for row in rows
        ]
    show_listing(rows, columns, as_json=json, empty="there are no corrections")
    if len(found) > limit:
        show_limit(limit, "corrections")


def _require_one(face: UUID | None, visit: UUID | None) -> None:
    if (face is None) == (visit is None):
        raise typer.BadParameter("give --face or --visit", param_hint="--face")


def _show(correction: "Correction", *, as_json: bool) -> None:
    from infra.operations.correction_requests import correction_row
    from infra.terminal.output import write_json

    if as_json:
        write_json(correction_row(correction))
    else:
        typer.echo(f"made the correction {correction.id} ({correction.kind.value})")


def _run(work: "Callable[[CorrectionClient], Awaitable[T]]") -> T:
    """Run something with what corrections take.

    Raises:
        CommandFailed: it cannot be done, or a server is unavailable.
    """
    import asyncio

    from config.settings import get_settings
    from domain.decisions.corrections import CorrectionError
    from domain.user_errors import NoSuchUserError
    from infra.operations.correction_requests import open_correction_client
    from infra.terminal.server_failures import expected_failures

    quiet_libraries()

    async def run() -> T:
        async with open_correction_client(get_settings()) as client:
            return await work(client)

    with expected_failures():
        try:
            return asyncio.run(run())
        except (NoSuchUserError, CorrectionError) as error:
            raise CommandFailed(str(error)) from error
