"""Visits as they are sent, with the names of their users and the addresses of their pictures."""

from collections.abc import Sequence

from api.http.dependencies import Services
from api.schemas.visits import VisitResponse
from domain.visit_events import Visit


async def with_names(services: Services, visits: Sequence[Visit]) -> list[VisitResponse]:
    """The visits in their order.

    Raises:
        StoreUnavailable: the main database is unavailable.
    """
    people = await services.people.get({visit.user_id for visit in visits if visit.user_id})
    snapshots = await services.stores.records.snapshots_of(
        visit.best_face_id for visit in visits if visit.best_face_id
    )
    return [
        VisitResponse.of(
            visit,
            people.get(visit.user_id) if visit.user_id else None,
            has_snapshot=visit.best_face_id in snapshots,
        )
        for visit in visits
    ]
