"""Visits as CSV: a row for each, for attendance lists."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from fastapi.responses import StreamingResponse

from api.http.dependencies import Services
from api.http.problems import ApiProblem
from api.listings.csv_rows import csv_lines, csv_response
from domain.visit_events import Visit
from services.stored_visits import VisitFilter, count_visits, visit_pages

#: Most rows of one answer; more are refused, so that no list is silently cut.
MOST_ROWS = 100_000

_PAGE = 1000

COLUMNS = (
    "visit_id",
    "camera_id",
    "user_id",
    "full_name",
    "email",
    "unknown_id",
    "state",
    "started_at",
    "last_seen_at",
    "ended_at",
    "seconds",
    "faces",
    "similarity",
    "reason",
    "liveness",
    "external_id",
)


async def visit_csv(services: Services, wanted: VisitFilter) -> StreamingResponse:
    """All visits of a filter, newest first, below a header row.

    Raises:
        ApiProblem: ``too_many_rows``.
    """
    async with services.databases.main() as session:
        count = await count_visits(session, wanted, MOST_ROWS + 1)
    if count > MOST_ROWS:
        raise ApiProblem(
            422,
            "too_many_rows",
            f"there are more than {MOST_ROWS} visits; ask for a shorter time with since and until",
        )
    pages = visit_pages(services.databases.main, wanted, _PAGE, MOST_ROWS)
    # Before the answer begins, so that a failure of a store is still a problem document.
    first = await _lines(services, await anext(pages, []))
    return csv_response(_body(services, first, pages), "visits.csv")


async def _body(
    services: Services, first: bytes, pages: AsyncIterator[list[Visit]]
) -> AsyncIterator[bytes]:
    yield csv_lines([COLUMNS]) + first
    async for page in pages:
        yield await _lines(services, page)


async def _lines(services: Services, visits: Sequence[Visit]) -> bytes:
    users = await services.people.get({visit.user_id for visit in visits if visit.user_id})
    rows = []
    for visit in visits:
        user = users.get(visit.user_id) if visit.user_id else None
        rows.append(
            (
                visit.visit_id,
                visit.camera_id,
                visit.user_id,
                user and user.full_name,
                user and user.email,
                visit.unknown_id,
                visit.state.value,
                _moment(visit.started_at),
                _moment(visit.last_seen_at),
                _moment(visit.ended_at),
                (visit.last_seen_at - visit.started_at).total_seconds(),
                visit.faces,
                visit.similarity,
                visit.reason,
                visit.liveness and visit.liveness.status,
                user and user.external_id,
            )
        )
    return csv_lines(rows)


def _moment(moment: datetime | None) -> str | None:
    """As in JSON."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
