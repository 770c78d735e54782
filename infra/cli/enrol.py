"""``fecapass enrol``: photos into templates."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries

if TYPE_CHECKING:
    from config.settings import Settings
    from infra.photos.photo_folders import NotAccepted, Person
    from infra.photos.upload_requests import PhotoAnswer
    from infra.terminal.tables import Row


def enrol(
    photos: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Photos that show only this person: JPEG, PNG or WebP.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    *,
    user: Annotated[
        str | None, typer.Option(help="E-mail address of the person; a new user is created.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Full name of the person.")] = None,
    from_dir: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Enrol many people: one folder per person, named by e-mail address or full name.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Enrol people from photos, through the pipeline.

    Several photos of a person make one better template. Sending the same photo again changes
    nothing. A photo with no face, several faces or a face of low quality is refused, and the reason
    is shown; the exit code is 1 if any photo was not enrolled. If all photos of a new user are
    refused, the user is not kept. Photos of a deactivated user are refused.

    With `--from-dir`, hidden and system files are skipped and counted, and pictures of other
    formats are listed. Two folders whose names would become the same user, and people's folders
    that are not directly in this folder, are an error before anything is enrolled.
    """
    from config.settings import get_settings

    quiet_libraries()
    if (user is None) == (from_dir is None) or (user is not None and not photos):
        raise typer.BadParameter("give --user with photos, or --from-dir", param_hint="--user")
    if from_dir is not None and (photos or name):
        raise typer.BadParameter("takes neither photos nor --name", param_hint="--from-dir")
    people, not_accepted = _from_folder(from_dir) if from_dir else ([_one(user, name, photos)], [])
    rows: list[Row] = [_not_accepted(one) for one in not_accepted]
    answers: list[PhotoAnswer] = []
    try:
        _enrol(get_settings(), people, answers, rows)
    except CommandFailed as failure:
        if not answers:
            raise
        _show(answers, rows, as_json=json)
        raise CommandFailed(f"{failure}; {len(answers)} photo(s) were answered before") from failure
    _show(answers, rows, as_json=json)
    _require_all_enrolled(answers, rows)


def _one(user: str | None, name: str | None, photos: list[Path] | None) -> "Person":
    from domain.names.email_addresses import BadAddressError, normal_address
    from domain.names.person_names import BadNameError, tidy_name
    from infra.photos.photo_folders import Person

    try:
        normal_address(user or "")
        tidied = None if name is None else tidy_name(name)
    except BadAddressError as error:
        raise typer.BadParameter(f"{user} is {error}", param_hint="--user") from error
    except BadNameError as error:
        raise typer.BadParameter(str(error), param_hint="--name") from error
    return Person(user or "", tidied, photos or [])


def _from_folder(folder: Path) -> "tuple[list[Person], list[NotAccepted]]":
    from infra.photos.photo_folders import NoPeopleError, people_in

    try:
        found = people_in(folder)
    except NoPeopleError as error:
        raise CommandFailed(str(error)) from error
    if found.skipped:
        typer.echo(found.skipped_text, err=True)
    return found.people, found.not_accepted


def _enrol(
    settings: "Settings",
    people: "list[Person]",
    answers: "list[PhotoAnswer]",
    rows: "list[Row]",
) -> None:
    """Enrol one person after the other, and add each result at once."""
    import asyncio

    from domain.user_errors import OtherUserError
    from infra.photos.upload_requests import open_client
    from infra.terminal.progress_bar import with_progress
    from infra.terminal.server_failures import expected_failures

    async def work() -> None:
        async with open_client(settings) as client:
            for person in with_progress(people, "people enrolled"):
                try:
                    answers.extend(
                        await client.enrol_person(
                            person.email,
                            person.name,
                            person.photos,
                            former_emails=person.former_emails,
                            name_decides=person.is_named_only,
                        )
                    )
                except OtherUserError as error:
                    rows.extend(_another(person, photo, str(error)) for photo in person.photos)

    with expected_failures():
        asyncio.run(work())


def _show(answers: "list[PhotoAnswer]", rows: "list[Row]", *, as_json: bool) -> None:
    from infra.terminal.output import show_listing
    from infra.terminal.tables import Column, score

    columns = (
        Column("email", "who", style="bold", whole=True),
        Column("photo", "photo"),
        Column("status", "result"),
        Column("quality", "quality", score, justify="right"),
        Column("photos", "photos in template", justify="right"),
        Column("message", "reason"),
    )
    every = [*(_row(answer) for answer in answers), *rows]
    show_listing(every, columns, as_json=as_json, empty="no people")


def _require_all_enrolled(answers: "list[PhotoAnswer]", rows: "list[Row]") -> None:
    failed = [one for one in answers if one.answer is None or one.answer.status != "enrolled"]
    if not (failed or rows):
        return
    removed = {one.user.email for one in failed if one.user and one.removed}
    kept = f"; not kept without a photo: {', '.join(sorted(removed))}" if removed else ""
    count, total = len(failed) + len(rows), len(answers) + len(rows)
    raise CommandFailed(f"{count} of {total} photo(s) were not enrolled{kept}")


def _not_accepted(one: "NotAccepted") -> "Row":
    return {
        **_NOT_SENT,
        "photo": str(one.path),
        "code": "unsupported_format",
        "message": one.reason,
    }


def _another(person: "Person", photo: Path, reason: str) -> "Row":
    return {
        **_NOT_SENT,
        "email": person.email,
        "photo": str(photo),
        "code": "another_person",
        "message": reason,
    }


_NOT_SENT: "Row" = {
    "email": None,
    "user_id": None,
    "photo": None,
    "status": "refused",
    "code": None,
    "message": None,
    "quality": None,
    "measures": {},
    "photos": None,
    "face_id": None,
    "upload_id": None,
}
"""A photo that was not sent, as `_row` has one that was."""


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
