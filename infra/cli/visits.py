"""``fecapass visits``: who was where from when to when?"""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries

if TYPE_CHECKING:
    from infra.terminal.tables import Row
    from services.stored_visits import VisitFilter


def visits(
    *,
    camera: Annotated[str | None, typer.Option(help="Only visits at this camera.")] = None,
    user: Annotated[
        str | None,
        typer.Option(help="Only visits of this user: id, e-mail address or external id."),
    ] = None,
    is_open: Annotated[bool, typer.Option("--open", help="Only people who are there now.")] = False,
    since: Annotated[
        datetime | None,
        typer.Option(help="Only visits that started at this time (local) or later."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Number of visits to show.")] = 50,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List visits, newest first: one person's stay at one camera is one visit.

    The workers that `fecapass worker follow` starts record them.
    """
    from services.stored_visits import VisitFilter

    wanted = VisitFilter(
        camera=camera,
        is_open=True if is_open else None,
        since=since.astimezone() if since else None,
    )
    show_visits(
        wanted, limit, user=user, as_json=json, empty="there are no such visits", what="visits"
    )


def show_visits(
    wanted: "VisitFilter",
    limit: int,
    *,
    user: str | None = None,
    as_json: bool,
    empty: str,
    what: str,
) -> None:
    """Write a listing of visits to standard output.

    Args:
        wanted: which.
        limit: at most so many.
        user: id, e-mail address or external id of the user whose visits are wanted.
        as_json: one JSON document instead of a table.
        empty: what a person reads when there are none.
        what: is listed, for the sentence about the limit.

    Raises:
        CommandFailed: there is no such user, or the main database is unavailable.
    """
    from infra.operations.visit_listing import visit_columns
    from infra.terminal.output import show_limit, show_listing

    rows = _rows(wanted, limit + 1, user)
    show_listing(rows[:limit], visit_columns(rows[:limit]), as_json=as_json, empty=empty)
    if len(rows) > limit:
        show_limit(limit, what)


def _rows(wanted: "VisitFilter", limit: int, user: str | None) -> "list[Row]":
    import asyncio

    from config.settings import get_settings
    from domain.user_errors import NoSuchUserError
    from infra.operations.visit_listing import visit_rows
    from infra.terminal.server_failures import expected_failures

    quiet_libraries()
    settings = get_settings()
    with expected_failures():
        try:
            return asyncio.run(visit_rows(settings, wanted, limit, user))
        except NoSuchUserError as error:
            raise CommandFailed(str(error)) from error
