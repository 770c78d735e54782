"""``fecapass enrol``: photos into templates."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.errors import CommandFailed
from infra.cli.quiet import quiet_libraries

if TYPE_CHECKING:
    from config.settings import Settings
    from infra.people import Person
    from infra.tables import Row
    from infra.uploads import PhotoAnswer


def enrol(
    photos: Annotated[
        list[Path] | None,
        typer.Argument(help="Photos of the person alone: JPEG, PNG or WebP.", exists=True),
    ] = None,
    *,
    user: Annotated[
        str | None, typer.Option(help="E-mail address of the person; made a user when new.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Full name of the person.")] = None,
    from_dir: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Enrol many: a folder for each person, named by e-mail address or full name.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Enrol people from photos, through the pipeline.

    Several photos of a person make one better template. The same photo again changes nothing. A
    photo with no face, several faces or too poor a face is refused, and the reason told; the exit
    code is 1 when any photo was not enrolled. A new person of whom every photo is refused is not
    kept.
    """
    import asyncio

    from config.settings import get_settings
    from infra.people import NoPeopleError, Person, people_in

    quiet_libraries()
    if (user is None) == (from_dir is None) or (user is not None and not photos):
        raise typer.BadParameter("give --user with photos, or --from-dir", param_hint="--user")
    if user is not None and "@" not in user:
        raise typer.BadParameter(f"{user} is no e-mail address", param_hint="--user")
    if from_dir is not None and (photos or name):
        raise typer.BadParameter("takes neither photos nor --name", param_hint="--from-dir")
    try:
        people = [Person(user, name, photos or [])] if user else people_in(from_dir or Path())
    except NoPeopleError as error:
        raise CommandFailed(str(error)) from error
    answers = asyncio.run(_enrol(get_settings(), people, quiet=json))
    _show(answers, as_json=json)


async def _enrol(
    settings: "Settings", people: "list[Person]", *, quiet: bool
) -> "list[PhotoAnswer]":
    from rich.console import Console
    from rich.progress import track

    from infra.cli.failures import expected_failures
    from infra.uploads import open_client

    answers: list[PhotoAnswer] = []
    with expected_failures():
        async with open_client(settings) as client:
            for person in track(
                people,
                "Enrolling",
                console=Console(stderr=True),
                disable=quiet or len(people) == 1,
            ):
                answers += await client.enrol_person(person.email, person.name, person.photos)
    return answers


def _show(answers: "list[PhotoAnswer]", *, as_json: bool) -> None:
    from infra.cli.output import show_listing
    from infra.tables import Column, score

    columns = (
        Column("email", "who", style="bold"),
        Column("photo", "photo"),
        Column("status", "result"),
        Column("quality", "quality", score, justify="right"),
        Column("photos", "photos in template", justify="right"),
        Column("message", "reason"),
    )
    show_listing([_row(answer) for answer in answers], columns, as_json=as_json, empty="nobody")
    failed = [one for one in answers if one.answer is None or one.answer.status != "enrolled"]
    if failed:
        removed = {one.user.email for one in failed if one.user and one.removed}
        kept = f"; not kept without a photo: {', '.join(sorted(removed))}" if removed else ""
        raise CommandFailed(f"{len(failed)} of {len(answers)} photo(s) were not enrolled{kept}")


def _row(one: "PhotoAnswer") -> "Row":
    answer = one.answer
    return {
        "email": one.user.email if one.user else None,
        "user_id": one.user.id if one.user and not one.removed else None,
        "photo": str(one.photo),
        "status": answer.status if answer else "unanswered",
        "code": answer.code if answer else "timeout",
        "message": answer.message if answer else "no answer in time; are the workers running?",
        "quality": answer.measures.get("quality") if answer else None,
        "measures": answer.measures if answer else {},
        "photos": answer.photos if answer else None,
        "face_id": answer.face_id if answer else None,
        "upload_id": answer.upload_id if answer else None,
    }
