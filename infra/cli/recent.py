"""``fecapass recent``: who came last?"""

from typing import TYPE_CHECKING, Annotated

import typer

from infra.terminal.library_logs import quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.settings import Settings
    from domain.events import FaceMatch
    from infra.terminal.tables import Row


def recent(
    *,
    camera: Annotated[str | None, typer.Option(help="Only what this camera saw.")] = None,
    faces: Annotated[
        bool, typer.Option("--faces", help="List single faces instead of visits.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Number of rows to show.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List who came last, newest first: one person's stay at one camera is one visit.

    `fecapass visits` has more filters. With `--faces`: the faces that cameras saw last. They come
    from the Redis cache; if it is unavailable, empty or read-only, from the main database.
    """
    if faces:
        _show_faces(camera, limit, as_json=json)
        return
    from infra.cli.visits import show_visits
    from services.stored_visits import VisitFilter

    at = f" at {camera}" if camera else ""
    show_visits(
        VisitFilter(camera=camera),
        limit,
        as_json=json,
        empty=f"there has been no visit{at} yet; --faces lists the faces that were seen",
        what="visits, the latest,",
    )


def _show_faces(camera: str | None, limit: int, *, as_json: bool) -> None:
    import asyncio

    from config.settings import get_settings
    from infra.operations.liveness_listing import with_liveness
    from infra.terminal.output import show_limit, show_listing
    from infra.terminal.tables import Column, moment, person, score

    quiet_libraries()
    rows = asyncio.run(_rows(get_settings(), camera, limit + 1))
    columns: Sequence[Column] = (
        Column("at", "seen", moment),
        Column("camera_id", "camera", whole=True),
        Column("name", "who", person, style="bold"),
        Column("decision", "decision"),
        Column("candidate", "best candidate"),
        Column("similarity", "similarity", score, justify="right"),
        Column("quality", "quality", score, justify="right"),
    )
    empty = f"no face has been seen yet{f' by {camera}' if camera else ''}"
    columns = with_liveness(columns, rows[:limit])
    show_listing(rows[:limit], columns, as_json=as_json, empty=empty)
    if len(rows) > limit:
        show_limit(limit, "faces, the latest,")


async def _rows(settings: "Settings", camera: str | None, limit: int) -> "list[Row]":
    import msgspec

    from infra.terminal.server_failures import expected_failures
    from sinks.main.main_store import Records

    with expected_failures():
        async with Records(settings.main_db) as records:
            matches = await _cached(settings, camera, limit)
            if not matches:
                stored = await records.recent_faces(limit, camera=camera)
                matches = [face.match for face in stored]
            named = {one for match in matches for one in (match.user_id, match.candidate_id) if one}
            users = await records.users(named)
    rows: list[Row] = []
    for match in matches:
        user = users.get(match.user_id) if match.user_id else None
        name = user.label if user else match.user_id
        candidate = users.get(match.candidate_id) if match.candidate_id else None
        fields = msgspec.structs.asdict(match)
        if fields["liveness"] is msgspec.UNSET:
            del fields["liveness"]
        rows.append(
            {
                **fields,
                "at": match.at,
                "name": name,
                "candidate": candidate.label if candidate else None,
            }
        )
    return rows


async def _cached(settings: "Settings", camera: str | None, limit: int) -> "Sequence[FaceMatch]":
    from sinks.cache.recent_matches import Recents
    from sinks.store_errors import StoreUnavailable

    try:
        async with Recents(settings.redis) as recents:
            # A read-only cache would show old matches as if they were new.
            await recents.ping()
            return await recents.recent(limit, camera)
    except StoreUnavailable as failure:
        typer.echo(f"from the main database, not the cache: {failure}", err=True)
        return ()
