"""``fecapass search``: who is in this photo?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.terminal.command_errors import CommandFailed
from infra.terminal.library_logs import quiet_libraries

if TYPE_CHECKING:
    from uuid import UUID

    from config.settings import Settings
    from domain.store_rows import UserRow
    from infra.photos.upload_requests import PhotoAnswer
    from infra.terminal.tables import Row


def search(
    photo: Annotated[Path, typer.Argument(help="JPEG, PNG or WebP.", exists=True, dir_okay=False)],
    *,
    limit: Annotated[
        int, typer.Option(min=1, max=10, help="Number of candidates to show per face.")
    ] = 3,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find out who is in a photo: for every face, the candidates and their similarities.

    The photo is not stored. Similarity is the cosine of probe and template, -1 to 1. The decision
    says whether the best candidate reached the threshold and led the next one by the margin.
    """
    import asyncio

    from config.settings import get_settings
    from infra.terminal.output import show_listing
    from infra.terminal.tables import Column, person, score

    quiet_libraries()
    result, users = asyncio.run(_search(get_settings(), photo))
    answer = result.answer
    if answer is None:
        raise CommandFailed("no answer in time; are the workers running?")
    if answer.status in ("refused", "failed"):
        raise CommandFailed(f"{photo}: {answer.message} ({answer.code})")
    columns = (
        Column("face", "face", justify="right"),
        Column("decision", "decision"),
        Column("rank", "rank", justify="right"),
        Column("name", "candidate", person, style="bold"),
        Column("similarity", "similarity", score, justify="right"),
        Column("quality", "quality", score, justify="right"),
    )
    rows = _rows(result, users, limit)
    show_listing(rows, columns, as_json=json, empty="no face was found")


async def _search(settings: "Settings", photo: Path) -> "tuple[PhotoAnswer, dict[UUID, UserRow]]":
    from infra.photos.upload_requests import open_client
    from infra.terminal.server_failures import expected_failures

    with expected_failures():
        async with open_client(settings) as client:
            result = await client.search(photo)
            faces = result.answer.faces if result.answer else ()
            people = {candidate.user_id for face in faces for candidate in face.candidates}
            return result, await client.records.users(people)


def _rows(result: "PhotoAnswer", users: "dict[UUID, UserRow]", limit: int) -> "list[Row]":
    """One row for each candidate of each face; a face without candidates also has one row."""
    rows: list[Row] = []
    answer = result.answer
    for number, face in enumerate(answer.faces if answer else (), start=1):
        fixed = {
            "face": number,
            "face_id": face.face_id,
            "box": face.box,
            "score": face.score,
            "quality": face.quality,
            "decision": face.decision,
            "threshold": answer.threshold if answer else None,
            "margin": answer.margin if answer else None,
        }
        if not face.candidates:
            rows.append({**fixed, "rank": None, "user_id": None, "similarity": None})
        for rank, candidate in enumerate(face.candidates[:limit], start=1):
            user = users.get(candidate.user_id)
            rows.append(
                {
                    **fixed,
                    "rank": rank,
                    "user_id": candidate.user_id,
                    "name": user.label if user else str(candidate.user_id),
                    "email": user.email if user else None,
                    "external_id": user.external_id if user else None,
                    "similarity": candidate.similarity,
                }
            )
    return rows
