"""Who was seen where: the listing, and the live stream."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from time import monotonic
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BeforeValidator
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from api.auth.authorization import Reader
from api.http.dependencies import MainDb, Services, ServicesDep
from api.http.pagination import PageDep
from api.http.problems import ApiProblem
from api.live.match_broadcast import Gap
from api.schemas.common import PLAIN_TEXT
from api.schemas.matches import MatchListResponse, MatchResponse
from domain.events import FaceMatch, MatchKind
from services.api_keys import Caller, is_valid
from sinks.main.schema import Face
from sinks.store_errors import StoreUnavailable

router = APIRouter(prefix="/api/v1/matches", tags=["matches"])

CameraFilter = Annotated[
    str | None, Query(max_length=512, pattern=PLAIN_TEXT, description="only of this camera")
]


def _rfc3339(text: object) -> object:
    """Pydantic also takes numbers, which the document does not allow."""
    if isinstance(text, str) and not _DATE.match(text):
        raise ValueError("wanted an RFC 3339 time, such as 2026-11-23T09:00:00Z")
    return text


TimeFilter = Annotated[AwareDatetime | None, BeforeValidator(_rfc3339)]

UserFilter = Annotated[UUID | None, Query(description="only of this user")]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]")

_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get("")
async def list_matches(  # noqa: PLR0913, PLR0917 - filters, given by name
    _caller: Reader,
    db: MainDb,
    services: ServicesDep,
    page: PageDep,
    camera_id: CameraFilter = None,
    user_id: UserFilter = None,
    known: Annotated[bool | None, Query(description="only known, or only unknown people")] = None,
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
        conditions.append(Face.at >= _in_reach(since))
    if until is not None:
        conditions.append(Face.at < _in_reach(until))
    query = select(Face).where(*conditions)
    query = query.order_by(Face.at.desc(), Face.id.desc()).limit(page.limit + 1)
    faces = (await db.scalars(query)).all()
    people = await services.people.get(face.user_id for face in faces if face.user_id)
    return MatchListResponse(
        items=[
            MatchResponse.of(face, people.get(face.user_id) if face.user_id else None)
            for face in faces[: page.limit]
        ],
        next_cursor=page.next_cursor([(face.at, face.id) for face in faces]),
    )


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses={
        200: {"description": "Events until the client leaves", "content": {"text/event-stream": {}}}
    },
)
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
    if services.live.full:
        raise ApiProblem(
            503,
            "too_many_listeners",
            "all places are taken; try again later",
            headers={"Retry-After": "15"},
        )
    events = _events(services, caller, _last(last_event_id), camera_id, user_id)
    return StreamingResponse(events, media_type="text/event-stream", headers=_STREAM_HEADERS)


async def _events(
    services: Services, caller: Caller, last: UUID | None, camera: str | None, user: UUID | None
) -> AsyncIterator[bytes]:
    """The events for a listener, until it leaves, the server stops or its key is revoked."""
    heartbeat = services.settings.api.stream_heartbeat
    checked = monotonic()
    with services.live.listen(last, camera, user) as listener:
        yield b"retry: 2000\n: listening\n\n"
        async for event in listener.events(heartbeat):
            if monotonic() - checked >= heartbeat:
                if not await _still_allowed(services, caller):
                    return
                checked = monotonic()
            if event is None:
                yield b": nothing yet\n\n"
            elif isinstance(event, Gap):
                lost = "null" if event.lost is None else str(event.lost)
                yield f'event: gap\ndata: {{"lost": {lost}}}\n\n'.encode()
            else:
                data = (await _named(services, event)).model_dump_json()
                yield f"event: match\nid: {event.face_id}\ndata: {data}\n\n".encode()


async def _still_allowed(services: Services, caller: Caller) -> bool:
    """Whether the key that opened the stream is still good."""
    if caller.id is None:
        return True
    try:
        async with services.databases.main() as session:
            return await is_valid(session, caller.id)
    except (DBAPIError, StoreUnavailable, OSError):
        return True  # asked again at the next heartbeat


async def _named(services: Services, match: FaceMatch) -> MatchResponse:
    try:
        people = await services.people.get([match.user_id] if match.user_id else [])
    except StoreUnavailable:
        people = {}  # a name that cannot be looked up must not hold the match back
    return MatchResponse.of(match, people.get(match.user_id) if match.user_id else None)


def _last(identifier: str | None) -> UUID | None:
    try:
        return UUID(identifier) if identifier else None
    except ValueError:
        return UUID(int=0)  # not one of ours: unknown, so there is a gap


def _in_reach(moment: datetime) -> datetime:
    """The moment in UTC.

    Raises:
        ApiProblem: ``invalid_request``: it is outside the calendar in UTC.
    """
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ApiProblem(422, "invalid_request", "the time is outside the calendar") from error
