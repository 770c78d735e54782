"""Who was where from when to when: the listing, one visit, and the live stream."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from api.auth.authorization import Reader
from api.http.dependencies import MainDb, Services, ServicesDep
from api.http.pagination import PageDep
from api.http.problems import ApiProblem
from api.http.stored_pictures import picture_response, picture_responses
from api.listings.csv_rows import wants_csv
from api.listings.named_matches import named_matches
from api.listings.named_visits import with_names
from api.listings.query_filters import (
    CameraFilter,
    KnownFilter,
    TimeFilter,
    UserFilter,
    in_utc,
    require_order,
)
from api.listings.visit_csv import visit_csv
from api.live.event_stream import RESPONSES, event_stream, require_place, stream_response
from api.live.visit_broadcast import Position, VisitSelection
from api.live.visit_stream import VisitStream
from api.schemas.visits import VisitDetailResponse, VisitListResponse
from domain.visit_events import Visit
from services.stored_visits import VisitFilter, faces_of_visit, find_visit, list_visits

router = APIRouter(prefix="/api/v1/visits", tags=["visits"])

OpenFilter = Annotated[
    bool | None, Query(alias="open", description="only people who are there, or who have left")
]
UnknownFilter = Annotated[UUID | None, Query(description="only of this unknown")]

_CSV: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}}
}


@router.get("", name="list_visits", response_model=VisitListResponse, responses=_CSV)
async def list_stored_visits(  # noqa: PLR0913, PLR0917 - filters, given by name
    request: Request,
    _caller: Reader,
    db: MainDb,
    services: ServicesDep,
    page: PageDep,
    camera_id: CameraFilter = None,
    user_id: UserFilter = None,
    unknown_id: UnknownFilter = None,
    known: KnownFilter = None,
    is_open: OpenFilter = None,
    since: Annotated[TimeFilter, Query(description="started then or later")] = None,
    until: Annotated[TimeFilter, Query(description="started before")] = None,
) -> Response:
    """Visits by `started_at`, newest first: one person at one camera is one visit.

    With `Accept: text/csv` the answer is CSV with a header row and all visits of the filter,
    without pages (`limit` and `cursor` do not count); more than 100,000 are refused
    (`too_many_rows`).
    """
    require_order(since, until)
    wanted = VisitFilter(
        camera=camera_id,
        user=user_id,
        unknown_id=unknown_id,
        known=known,
        is_open=is_open,
        since=in_utc(since) if since else None,
        until=in_utc(until) if until else None,
    )
    if wants_csv(request.headers.get("accept")):
        return await visit_csv(services, wanted)
    after = (page.after.at, page.after.id) if page.after else None
    visits = await list_visits(db, wanted, page.limit + 1, after)
    listed = VisitListResponse(
        items=await with_names(services, visits[: page.limit]),
        next_cursor=page.next_cursor([(one.started_at, one.visit_id) for one in visits]),
    )
    return JSONResponse(listed.model_dump(mode="json"), headers={"Vary": "Accept"})


@router.get("/stream", response_class=StreamingResponse, responses=RESPONSES)
async def stream_visits(
    caller: Reader,
    services: ServicesDep,
    camera_id: CameraFilter = None,
    user_id: UserFilter = None,
    last_event_id: Annotated[
        str | None, Header(description="the id of the last event that arrived")
    ] = None,
) -> StreamingResponse:
    """Visits as they are announced, as server-sent events.

    `event: visit` has a visit as its data: when it starts, when it changes, and when it ends. The
    highest `revision` of a `visit_id` counts; the same one may come again. With Last-Event-ID the
    visits that were announced since come first, as they are now. `event: gap` says that
    announcements were lost at this place (a slow listener, an outage, an unknown Last-Event-ID):
    the listing has the visits. Its data is `{"lost": 12}`, or `{"lost": null}` where the number is
    not known. With `user_id`, a visit that turns out to be another person's comes once more.
    """
    require_place(services.places, caller)
    stream = VisitStream(services, VisitSelection(camera_id, user_id))
    last = Position.decode(last_event_id) if last_event_id else None
    if last is not None and services.live_visits.remembers(last.announcement):
        listening, missed = stream.listen(last.announcement), None
    else:
        listening, missed = stream.listen(), stream.missed(last) if last_event_id else None
    return stream_response(event_stream(services, caller, listening, stream.encode, missed))


@router.get("/{visit_id:uuid}", responses={404: {}})
async def read_visit(
    visit_id: UUID, caller: Reader, db: MainDb, services: ServicesDep, page: PageDep
) -> VisitDetailResponse:
    """A visit, and its faces in pages (`limit`, `cursor`), newest first.

    One that was merged into another visit (`reason`) is still found here, and has no faces.
    """
    visit = await find_visit(db, visit_id)
    if visit is None:
        raise ApiProblem(404, "visit_not_found", "there is no visit with this id")
    after = (page.after.at, page.after.id) if page.after else None
    faces = await faces_of_visit(db, visit_id, page.limit + 1, after)
    snapshot = await _snapshot_of(services, visit)
    people = await services.people.get([visit.user_id] if visit.user_id else [])
    return VisitDetailResponse.with_matches(
        visit,
        people.get(visit.user_id) if visit.user_id else None,
        await named_matches(services, caller, faces[: page.limit]),
        page.next_cursor([(face.at, face.id) for face in faces]),
        has_snapshot=snapshot is not None,
    )


@router.get(
    "/{visit_id:uuid}/snapshot",
    response_class=Response,
    responses=picture_responses("The frame"),
)
async def read_snapshot(
    visit_id: UUID, _caller: Reader, db: MainDb, services: ServicesDep, request: Request
) -> Response:
    """The whole frame of the visit's best face, as JPEG, with all people in it."""
    visit = await find_visit(db, visit_id)
    await db.rollback()
    key = await _snapshot_of(services, visit) if visit is not None else None
    missing = ApiProblem(404, "snapshot_not_found", "there is no snapshot of this visit")
    return await picture_response(request, services.stores.crops, key, missing)


async def _snapshot_of(services: Services, visit: Visit) -> str | None:
    """S3 key of the frame of its best face, if that is kept."""
    if visit.best_face_id is None:
        return None
    kept = await services.stores.records.snapshots_of([visit.best_face_id])
    return kept.get(visit.best_face_id)
