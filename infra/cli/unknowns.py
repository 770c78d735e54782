"""``fecapass unknowns``: people who are seen again and not enrolled."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from config.settings import Settings

app = typer.Typer(
    no_args_is_help=True, help="List unknown people who come back; name one, or put one aside."
)

T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Unknown = Annotated[UUID, typer.Argument(help="Id of the unknown, as `list` prints it.")]


@app.command(name="list")
def list_(
    *,
    camera: Annotated[str | None, typer.Option(help="Only seen by this camera.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only seen at this time (local) or later.")
    ] = None,
    min_visits: Annotated[int, typer.Option(min=1, help="Only with so many visits.")] = 2,
    dismissed: Annotated[bool, typer.Option("--dismissed", help="Those put aside.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Number to show.")] = 50,
    json: Json = False,
) -> None:
    """List the unknowns who came back, the one seen last first."""
    from infra.operations.unknown_listing import UNKNOWN_COLUMNS, unknown_rows
    from infra.terminal.output import show_limit, show_listing
    from services.unknowns.stored_unknowns import UnknownFilter

    wanted = UnknownFilter(
        state="dismissed" if dismissed else "open",
        min_visits=min_visits,
        camera=camera,
        since=since.astimezone() if since else None,
    )
    rows = _run(lambda settings: unknown_rows(settings, wanted, limit + 1))
    show_listing(rows[:limit], UNKNOWN_COLUMNS, as_json=json, empty="there are no such unknowns")
    if len(rows) > limit:
        show_limit(limit, "unknowns")


@app.command()
def show(unknown: Unknown, *, json: Json = False) -> None:
    """Show one unknown with its visits, newest first.

    With `--json`: one object with the unknown and an array of the visits.
    """
    from infra.operations.unknown_listing import UNKNOWN_COLUMNS, unknown_row
    from infra.operations.visit_listing import visit_columns, visit_rows
    from infra.terminal.output import show_listing, write_json
    from services.stored_visits import VisitFilter

    row = _run(lambda settings: unknown_row(settings, unknown))
    wanted = VisitFilter(unknown_id=UUID(str(row["id"])))
    visits = _run(lambda settings: visit_rows(settings, wanted, 1000))
    if json:
        write_json({**row, "visits": visits})
        return
    show_listing([row], UNKNOWN_COLUMNS, as_json=False, empty="")
    show_listing(visits, visit_columns(visits), as_json=False, empty="it has no visits any more")


@app.command()
def promote(
    unknown: Unknown,
    *,
    user: Annotated[
        str | None, typer.Option(help="Who it is: id or e-mail address of a user that there is.")
    ] = None,
    email: Annotated[str | None, typer.Option(help="E-mail address of a new user.")] = None,
    name: Annotated[str | None, typer.Option(help="Full name of a new user.")] = None,
    json: Json = False,
) -> None:
    """Give an unknown a name: its visits and faces are the user's, its best faces are enrolled."""
    from infra.operations.unknown_listing import promote_by_name
    from infra.terminal.output import write_json

    if (user is None) == (email is None and name is None):
        raise typer.BadParameter("give --user, or --name or --email of a new user")
    done = _run(lambda settings: promote_by_name(settings, unknown, user, email, name))
    if json:
        write_json(done)
    else:
        typer.echo(
            f"{done['unknown_id']} is the user {done['user_id']}: {done['visits']} visit(s), "
            f"{done['faces']} face(s), {done['enrolled']} of {done['sent']} enrolled"
        )
        _say_undo(done["correction_id"])
    if not done["enrolled"]:
        raise CommandFailed("no face was enrolled: enrol a photo, or cameras do not recognise it")


@app.command()
def dismiss(unknown: Unknown) -> None:
    """Put an unknown aside: it is not listed any more, and its next visits join it."""
    from infra.operations.unknown_listing import dismiss_unknown

    left, made = _run(lambda settings: dismiss_unknown(settings, unknown))
    typer.echo(f"dismissed {left}")
    _say_undo(made)


@app.command()
def proposals(
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Number to show.")] = 50,
    json: Json = False,
) -> None:
    """List what `fecapass maintain` asks: two unknowns that may be one person, one that may be two.

    `join` and `part` answer.
    """
    from infra.operations.unknown_listing import PROPOSAL_COLUMNS, proposal_rows
    from infra.terminal.output import show_listing

    rows = _run(lambda settings: proposal_rows(settings, limit))
    show_listing(rows, PROPOSAL_COLUMNS, as_json=json, empty="there are no proposals")


@app.command()
def join(
    unknown: Unknown, other: Annotated[UUID, typer.Argument(help="Id of the other unknown.")]
) -> None:
    """Say that two unknowns are one person; the older one is left, and stays so."""
    from infra.operations.unknown_listing import join_unknowns

    left = _run(lambda settings: join_unknowns(settings, unknown, other))
    typer.echo(f"joined into {left}")


@app.command()
def part(
    unknown: Unknown,
    visits: Annotated[list[UUID], typer.Argument(help="Ids of some of its visits.")],
) -> None:
    """Say that visits of an unknown are another person's, who stays apart from it."""
    from infra.operations.unknown_listing import part_unknown

    other = _run(lambda settings: part_unknown(settings, unknown, visits))
    typer.echo(f"parted: {other}")


def _say_undo(correction: object) -> None:
    typer.echo(f"to undo it, within 30 days: fecapass correct undo {correction}")


def _run(work: "Callable[[Settings], Coroutine[Any, Any, T]]") -> T:
    """Run something with the settings.

    Raises:
        CommandFailed: it is refused, or a server is unavailable.
    """
    import asyncio

    from config.settings import get_settings
    from domain.decisions.corrections import CorrectionError
    from domain.names.email_addresses import BadAddressError
    from domain.names.person_names import BadNameError
    from domain.user_errors import (
        CannotRegroupError,
        EmailTakenError,
        NoSuchUnknownError,
        NoSuchUserError,
        UnknownIsUserError,
        UserNotFoundError,
    )
    from infra.terminal.server_failures import expected_failures

    quiet_libraries()
    settings = get_settings()
    with expected_failures():
        try:
            return asyncio.run(work(settings))
        except (
            BadAddressError,
            BadNameError,
            CannotRegroupError,
            CorrectionError,
            EmailTakenError,
            NoSuchUnknownError,
            NoSuchUserError,
            UnknownIsUserError,
            UserNotFoundError,
        ) as error:
            raise CommandFailed(str(error)) from error
