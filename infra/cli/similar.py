"""``fecapass similar``: where else was this face seen?"""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries

if TYPE_CHECKING:
    from uuid import UUID

    from config.settings import Settings
    from infra.operations.similar_listing import SimilarFilter
    from infra.terminal.tables import Row


def similar(
    face: Annotated[
        str,
        typer.Argument(
            help="Id of a face, seen or enrolled (`fecapass recent --faces --json`); or a photo."
        ),
    ],
    *,
    since: Annotated[
        datetime | None, typer.Option(help="Only faces seen at this time (local) or later.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(help="Only faces seen before this time (local).")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Number of faces to show.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the faces that cameras saw and that are most like a face, best first.

    Similarity is the cosine of the two faces, -1 to 1. Every sighting of the time is compared, so
    none is missed; without --since, all that are kept. Of a photo, every face in it is looked for;
    their embeddings are in Redis for ten minutes and stored nowhere else.
    """
    import asyncio

    from config.settings import get_settings
    from domain.users.face_errors import NoEmbeddingError, NoSuchFaceError, ProbeInactiveError
    from infra.operations.similar_listing import SimilarFilter
    from infra.terminal.output import show_listing
    from infra.terminal.server_failures import expected_failures
    from infra.terminal.tables import Column, moment, person, score

    quiet_libraries()
    probe = _probe(face)
    wanted = SimilarFilter(
        limit,
        since.astimezone() if since else None,
        until.astimezone() if until else None,
    )
    with expected_failures():
        try:
            rows = asyncio.run(_rows(get_settings(), probe, wanted))
        except (NoSuchFaceError, NoEmbeddingError, ProbeInactiveError) as error:
            raise CommandFailed(f"{face}: {error}") from error
    columns = (
        Column("probe", "of face", justify="right"),
        Column("similarity", "similarity", score, justify="right"),
        Column("seen_at", "seen", moment),
        Column("camera_id", "camera", whole=True),
        Column("name", "who", person, style="bold"),
        Column("quality", "quality", score, justify="right"),
        Column("face_id", "face", whole=True),
    )
    show_listing(rows, columns, as_json=json, empty="no camera saw a face in this time")


def _probe(face: str) -> "UUID | Path":
    """The id of a face, or a photo.

    Raises:
        CommandFailed: it is neither.
    """
    from uuid import UUID

    try:
        return UUID(face)
    except ValueError:
        photo = Path(face)
    if not photo.is_file():
        raise CommandFailed(f"{face} is neither the id of a face nor a photo")
    return photo


async def _rows(settings: "Settings", probe: "UUID | Path", wanted: "SimilarFilter") -> "list[Row]":
    from infra.operations.similar_listing import similar_rows

    probes = await _faces_of(settings, probe) if isinstance(probe, Path) else [probe]
    return [
        {"probe": number, **row}
        for number, face_id in enumerate(probes, start=1)
        for row in await similar_rows(settings, face_id, wanted)
    ]


async def _faces_of(settings: "Settings", photo: Path) -> "list[UUID]":
    """The faces of a photo.

    Raises:
        CommandFailed: the photo cannot be searched, or has no face.
    """
    from infra.photos.upload_requests import open_client

    async with open_client(settings) as client:
        answer = (await client.search(photo, for_sightings=True)).answer
    if answer is None:
        raise CommandFailed("no answer in time; are the workers running?")
    if answer.status in {"refused", "failed"}:
        raise CommandFailed(f"{photo}: {answer.message} ({answer.code})")
    if not answer.faces:
        raise CommandFailed(f"{photo}: no face was found")
    return [one.face_id for one in answer.faces]
