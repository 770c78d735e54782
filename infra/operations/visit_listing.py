"""Visits for the command line: listed, with names."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from msgspec import structs

from config.settings import Settings
from domain.store_rows import UserRow
from domain.visit_events import Visit
from infra.operations.liveness_listing import with_liveness
from infra.terminal.tables import Column, Row, moment, person, score
from services.stored_visits import VisitFilter, list_visits
from services.user_lookup import find_user
from sinks.main.database_sessions import Databases
from sinks.main.main_store import Records


def _until(value: object) -> str:
    return "now" if value is None else moment(value)


VISIT_COLUMNS = (
    Column("name", "person", person, style="bold"),
    Column("camera_id", "camera", whole=True),
    Column("started_at", "from", moment),
    Column("ended_at", "to", _until),
    Column("faces", "faces", justify="right"),
    Column("similarity", "similarity", score, justify="right"),
)


def visit_columns(rows: Sequence[Row]) -> Sequence[Column]:
    """The columns of a listing; that of liveness only if it is known of any of these visits."""
    return with_liveness(VISIT_COLUMNS, rows)


async def visit_rows(
    settings: Settings, wanted: VisitFilter, limit: int, user: str | None = None
) -> list[Row]:
    """Visits as rows of a listing, newest first.

    Args:
        settings: of the process.
        wanted: which.
        limit: at most so many.
        user: id, e-mail address or external id of the user whose visits are wanted.

    Raises:
        NoSuchUserError: there is no such user.
        StoreUnavailable: the main database is unavailable.
    """
    async with Databases(settings) as databases, databases.main() as session:
        if user is not None:
            wanted = replace(wanted, user=(await find_user(session, user)).id)
        visits = await list_visits(session, wanted, limit)
    async with Records(settings.main_db) as records:
        users = await records.users({one.user_id for one in visits if one.user_id})
    return [_row(visit, users) for visit in visits]


def _row(visit: Visit, users: dict[UUID, UserRow]) -> Row:
    row = structs.asdict(visit)
    # When it was announced is Fecapass's own business.
    del row["announced_at"]
    user = users.get(visit.user_id) if visit.user_id else None
    name = user.label if user else visit.user_id
    seconds = (visit.last_seen_at - visit.started_at).total_seconds()
    return row | {"seconds": seconds, "name": name}
