"""``fecapass people``: are the labels of the enrolled people right?"""

from typing import TYPE_CHECKING, Annotated

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries

if TYPE_CHECKING:
    from infra.operations.checked_people import CheckedPeople

app = typer.Typer(no_args_is_help=True, help="Find mistakes among the enrolled people.")


@app.callback()
def _group() -> None:
    """Keep `app` a group of commands however few there are."""


@app.command()
def check(
    *,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="Number of rows of each kind to show.")
    ] = 100,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare the enrolled photos with each other, and list what may be a mistake.

    Outliers are photos that do not resemble the other photos of their user. Near-duplicates are
    photos of a user that are nearly one picture. Alike are two users whose templates resemble each
    other: one person under two labels, or relatives. Nothing is changed. The exit code is 1 if
    there are outliers or users who are alike.
    """
    from infra.terminal.output import show_limit, show_listing, write_json
    from infra.terminal.tables import Column, person, score

    found = _checked()
    if json:
        write_json(found.document(limit))
    else:
        columns = (
            Column("kind", "kind"),
            Column("name", "who", person, style="bold"),
            Column("other_name", "and"),
            Column("similarity", "similarity", score, justify="right"),
            Column("face_id", "photo", whole=True),
        )
        typer.echo(f"{found.check.users} people, {found.check.photos} photos", err=True)
        show_listing(found.rows(limit), columns, as_json=False, empty="no mistake was found")
        if found.most > limit:
            show_limit(limit, "rows of a kind", found.most)
    if found.check.outliers or found.check.alike:
        raise CommandFailed(
            f"{len(found.check.outliers)} photo(s) do not resemble the others of their user, and "
            f"{len(found.check.alike)} pair(s) of users are alike"
        )


def _checked() -> "CheckedPeople":
    import asyncio

    from config.settings import get_settings
    from infra.operations.checked_people import NoGalleryError, checked_people
    from infra.terminal.server_failures import expected_failures

    quiet_libraries()
    with expected_failures():
        try:
            return asyncio.run(checked_people(get_settings()))
        except NoGalleryError as error:
            raise CommandFailed(str(error)) from error
