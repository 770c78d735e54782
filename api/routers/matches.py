"""Who was seen where: the listing, and the live stream."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from sqlalchemy import select

from api.auth.authorization import Reader
from api.http.dependencies import MainDb, Services, ServicesDep
from api.http.pagination import PageDep
from api.listings.named_matches import named_match, named_matches
from api.listings.query_filters import CameraFilter, KnownFilter, TimeFilter, UserFilter, in_utc
from api.live.event_stream import (
    RESPONSES,
    encode_event,
    event_stream,
    require_place,
    stream_response,
)
from api.schemas.matches import MatchListResponse, MatchResponse
from domain.events import FaceMatch, MatchKind
from services.api_keys import Caller
from sinks.main.schema import Face
from sinks.store_errors import StoreUnavailable

router = APIRouter(prefix="/api/v1/matches", tags=["matches"])


@router.get("")
async def list_matches(  # noqa: PLR0913, PLR0917 - filters, given by name
    caller: Reader,
    db: MainDb,
    services: ServicesDep,
    page: PageDep,
    camera_id: CameraFilter = None,
    user_id: UserFilter = None,
    known: KnownFilter = None,
    since: Annotated[TimeFilter, Query(description="seen then or later")] = None,
    until: Annotated[TimeFilter, Query(description="seen before")] = None,
) -> MatchListResponse:
    """Faces that cameras saw, by `seen_at`, newest first."""
    conditions = [
        Face.kind == MatchKind.FRAME,
        *page.older(Face.at, Face.id),
    ]
    if camera_id is not None:
        conditions.append(Face.camera_id == camera_id)
    if user_id is not None:
        conditions.append(Face.user_id == user_id)
    if known is not None:
        conditions.append(Face.user_id.is_not(None) if known else Face.user_id.is_(None))
    if since is not None:
        conditions.append(Face.at >= in_utc(since))
    if until is not None:
        conditions.append(Face.at < in_utc(until))
    query = select(Face).where(*conditions)
    query = query.order_by(Face.at.desc(), Face.id.desc()).limit(page.limit + 1)
    faces = (await db.scalars(query)).all()
    return MatchListResponse(
        items=await named_matches(services, caller, faces[: page.limit]),
        next_cursor=page.next_cursor([(face.at, face.id) for face in faces]),
    )


@router.get("/stream", response_class=StreamingResponse, responses=RESPONSES)
async def stream_matches(
    caller: Reader,
    services: ServicesDep,
    camera_id: CameraFilter = None,
    user_id: UserFilter = None,
    last_event_id: Annotated[
        str | None, Header(description="the id of the last event that arrived")
    ] = None,
) -> StreamingResponse:
    """Matches as they happen, as server-sent events.

    `event: match` has a match as its data and the face's id as its id. `event: gap` says that
    matches were lost at this place (a slow listener, an outage, an unknown Last-Event-ID): the
    listing has them. Its data is `{"lost": 12}`, or `{"lost": null}` where the number is not known.
    Comments keep the connection open while nothing happens.
    """
    require_place(services.places, caller)

    async def encode(match: FaceMatch) -> bytes:
        data = (await _named(services, caller, match)).model_dump_json()
        return encode_event("match", str(match.face_id), data)

    listening = services.live.listen(_last(last_event_id), camera_id, user_id)
    return stream_response(event_stream(services, caller, listening, encode))


async def _named(services: Services, caller: Caller, match: FaceMatch) -> MatchResponse:
    try:
        (named,) = await named_matches(services, caller, [match])
    except StoreUnavailable:
        # A name that cannot be looked up must not hold the match back.
        return named_match(match, caller, {})
    return named


def _last(identifier: str | None) -> UUID | None:
    try:
        return UUID(identifier) if identifier else None
    except ValueError:
        return UUID(int=0)  # not one of ours: unknown, so there is a gap
