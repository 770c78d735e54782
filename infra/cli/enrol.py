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
    external_id: Annotated[
        str | None,
        typer.Option(help="Your own id of the person, instead of an address or with it."),
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
    by_external_id: Annotated[
        bool,
        typer.Option(
            "--by-external-id",
            help="With --from-dir: the folders are named by your own ids; no address is made.",
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Enrol photos that resemble another user, or do not resemble the user's own ones.",
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Enrol people from photos, through the pipeline.

    Several photos of a person make one better template; weak ones count for less. Sending the same
    photo again changes nothing. Where a photo shows other faces, the largest one is taken if the
    others are clearly smaller, at the edge or of poor quality. A photo with no face, several faces
    or a face of very low quality is refused, and so is one that resembles another user, or does not
    resemble the user's own photos, unless `--force` is given. The reason is shown; the exit code is
    1 if any photo was not enrolled. If all photos of a new user are
    refused, the user is not kept. Photos of a deactivated user are refused.

    With `--from-dir`, hidden and system files are skipped and counted, and pictures of other
    formats are listed. Two folders whose names would become the same user, and people's folders
    that are not directly in this folder, are an error before anything is enrolled. So are two
    folders that show the same person: the photos are compared first, on this machine, unless
    `--force` is given or FECAPASS_MODELS__ENROL_COMPARE is off.
    """
    from config.settings import get_settings

    quiet_libraries()
    is_one = user is not None or external_id is not None
    if is_one == (from_dir is not None) or (is_one and not photos):
        raise typer.BadParameter(
            "give --user or --external-id with photos, or --from-dir", param_hint="--user"
        )
    if from_dir is not None and (photos or name):
        raise typer.BadParameter("takes neither photos nor --name", param_hint="--from-dir")
    if from_dir is None and by_external_id:
        raise typer.BadParameter("needs --from-dir", param_hint="--by-external-id")
    people, not_accepted = (
        _from_folder(from_dir, by_external_id=by_external_id)
        if from_dir
        else ([_one(user, external_id, name, photos)], [])
    )
    if from_dir is not None and not force:
        _require_different_people(people)
    rows: list[Row] = [_not_accepted(one) for one in not_accepted]
    answers: list[PhotoAnswer] = []
    try:
        _enrol(get_settings(), people, answers, rows, force=force)
    except CommandFailed as failure:
        if not answers:
            raise
        _show(answers, rows, as_json=json)
        raise CommandFailed(f"{failure}; {len(answers)} photo(s) were answered before") from failure
    _show(answers, rows, as_json=json)
    _require_all_enrolled(answers, rows)


def _one(
    user: str | None, external_id: str | None, name: str | None, photos: list[Path] | None
) -> "Person":
    from domain.names.email_addresses import BadAddressError, normal_address
    from domain.names.person_names import BadNameError, tidy_name
    from domain.users.external_ids import BadExternalIdError, tidy_external_id
    from infra.photos.photo_folders import Person

    try:
        if user is not None:
            normal_address(user)
        external_id = None if external_id is None else tidy_external_id(external_id)
        tidied = None if name is None else tidy_name(name)
    except BadAddressError as error:
        raise typer.BadParameter(f"{user} is {error}", param_hint="--user") from error
    except BadNameError as error:
        raise typer.BadParameter(str(error), param_hint="--name") from error
    except BadExternalIdError as error:
        raise typer.BadParameter(str(error), param_hint="--external-id") from error
    return Person(user, tidied, photos or [], external_id=external_id)


def _from_folder(folder: Path, *, by_external_id: bool) -> "tuple[list[Person], list[NotAccepted]]":
    from infra.photos.photo_folders import NoPeopleError, people_in

    try:
        found = people_in(folder, by_external_id=by_external_id)
    except NoPeopleError as error:
        raise CommandFailed(str(error)) from error
    if found.skipped:
        typer.echo(found.skipped_text, err=True)
    return found.people, found.not_accepted


def _require_different_people(people: "list[Person]") -> None:
    """Report folders that show the same person, before anything is enrolled.

    Raises:
        CommandFailed: there are some; they are listed on standard error.
    """
    from config.settings import DetectSettings, load_settings
    from domain.images.image_errors import ModelError
    from infra.photos.folder_duplicates import same_people
    from infra.terminal.progress_bar import with_progress

    settings = load_settings(DetectSettings).models
    if not settings.enrol_compare or len(people) < 2:  # noqa: PLR2004 - nothing to compare
        return
    try:
        pairs = same_people(
            people, settings, lambda photos: with_progress(photos, "photos compared")
        )
    except ModelError as error:
        typer.echo(f"the folders are not compared before: {error}", err=True)
        return
    for pair in pairs:
        typer.echo(
            f"{pair.one.label} and {pair.other.label} look like one person "
            f"(similarity {pair.similarity:.2f}): {pair.one.photos[0]}, {pair.other.photos[0]}",
            err=True,
        )
    if pairs:
        raise CommandFailed(
            f"{len(pairs)} pair(s) of folders look like one person; put the photos of a person "
            "into one folder, or enrol them with --force. Nothing was enrolled"
        )


def _enrol(
    settings: "Settings",
    people: "list[Person]",
    answers: "list[PhotoAnswer]",
    rows: "list[Row]",
    *,
    force: bool,
) -> None:
    """Enrol one person after the other, and add each result at once."""
    import asyncio

    from domain.user_errors import EmailTakenError, OtherUserError
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
                            external_id=person.external_id,
                            former_emails=person.former_emails,
                            name_decides=person.is_named_only,
                            force=force,
                        )
                    )
                except (OtherUserError, EmailTakenError) as error:
                    rows.extend(_another(person, photo, str(error)) for photo in person.photos)

    with expected_failures():
        asyncio.run(work())


def _show(answers: "list[PhotoAnswer]", rows: "list[Row]", *, as_json: bool) -> None:
    from infra.terminal.output import show_listing
    from infra.terminal.tables import Column, score

    columns = (
        Column("who", "who", style="bold", whole=True),
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
    removed = {one.user.label for one in failed if one.user and one.removed}
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
        "who": person.email or person.external_id,
        "email": person.email,
        "external_id": person.external_id,
        "photo": str(photo),
        "code": "another_person",
        "message": reason,
    }


_NOT_SENT: "Row" = {
    "who": None,
    "email": None,
    "external_id": None,
    "user_id": None,
    "photo": None,
    "status": "refused",
    "code": None,
    "message": None,
    "quality": None,
    "measures": {},
    "photos": None,
    "weight": None,
    "another": None,
    "face_id": None,
    "upload_id": None,
}
"""A photo that was not sent, as `_row` has one that was."""


def _row(one: "PhotoAnswer") -> "Row":
    answer = one.answer
    return {
        "who": (one.user.email or one.user.external_id) if one.user else None,
        "email": one.user.email if one.user else None,
        "external_id": one.user.external_id if one.user else None,
        "user_id": one.user.id if one.user and not one.removed else None,
        "photo": str(one.photo),
        "status": answer.status if answer else "unanswered",
        "code": answer.code if answer else "timeout",
        "message": answer.message if answer else "no answer in time; are the workers running?",
        "quality": answer.measures.get("quality") if answer else None,
        "measures": answer.measures if answer else {},
        "photos": answer.photos if answer else None,
        "weight": answer.weight if answer else None,
        "another": answer.another if answer else None,
        "face_id": answer.face_id if answer else None,
        "upload_id": answer.upload_id if answer else None,
    }
