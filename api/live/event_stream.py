"""A broadcast as server-sent events, for a listener with a key."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from time import monotonic
from typing import Any, TypeVar

from fastapi.responses import StreamingResponse
from sqlalchemy.exc import DBAPIError

from api.http.dependencies import Services
from api.http.problems import ApiProblem
from api.live.listener import Gap, Listener, Places
from services.api_keys import Caller, is_valid
from sinks.store_errors import StoreUnavailable

Event = TypeVar("Event")

#: What OpenAPI says of the response.
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events until the client leaves", "content": {"text/event-stream": {}}}
}

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def require_place(places: Places, caller: Caller) -> None:
    """Refuse a listener when all places are taken, or as many as its key may have.

    Raises:
        ApiProblem: ``too_many_listeners`` or ``too_many_streams``.
    """
    if places.all_taken_by(caller.id):
        raise ApiProblem(
            429,
            "too_many_streams",
            f"this key may have {places.limit_each} open streams",
            headers={"Retry-After": "15"},
        )
    if places.full:
        raise ApiProblem(
            503,
            "too_many_listeners",
            "all places are taken; try again later",
            headers={"Retry-After": "15"},
        )


def stream_response(events: AsyncIterator[bytes]) -> StreamingResponse:
    """The response whose body these events are."""
    return StreamingResponse(events, media_type="text/event-stream", headers=_HEADERS)


def encode_event(name: str, identifier: str, data: str) -> bytes:
    """One event.

    Args:
        name: what kind of event.
        identifier: what a client sends as Last-Event-ID after it.
        data: JSON in one line.
    """
    return f"event: {name}\nid: {identifier}\ndata: {data}\n\n".encode()


async def event_stream(
    services: Services,
    caller: Caller,
    listening: AbstractContextManager[Listener[Event]],
    encode: Callable[[Event], Awaitable[bytes]],
    missed: AsyncIterator[Event | Gap] | None = None,
) -> AsyncIterator[bytes]:
    """The events for a listener, until it leaves, the server stops or its key is revoked.

    Args:
        services: of the process.
        caller: whose key is checked again and again.
        listening: the listener; it listens for as long as the stream is open.
        encode: an event as `encode_event` gives it; empty for what is not to be sent.
        missed: what comes first; asked when the listener listens, so that nothing is left out.
    """
    heartbeat = services.settings.api.stream_heartbeat
    checked = monotonic()
    places = services.places
    if places.full or places.all_taken_by(caller.id):
        return  # taken by others since `require_place`; the client asks again, and is refused
    with places.taken(caller.id), listening as listener:
        yield b"retry: 2000\n: listening\n\n"
        if missed is not None:
            async for event in missed:
                if block := await _encoded(event, encode):
                    yield block
        async for event_or_none in listener.events(heartbeat):
            if monotonic() - checked >= heartbeat:
                if not await _still_allowed(services, caller):
                    return
                checked = monotonic()
            if event_or_none is None:
                yield b": nothing yet\n\n"
            elif block := await _encoded(event_or_none, encode):
                yield block


async def _encoded(event: Event | Gap, encode: Callable[[Event], Awaitable[bytes]]) -> bytes:
    if isinstance(event, Gap):
        lost = "null" if event.lost is None else str(event.lost)
        return f'event: gap\ndata: {{"lost": {lost}}}\n\n'.encode()
    return await encode(event)


async def _still_allowed(services: Services, caller: Caller) -> bool:
    """Whether the key that opened the stream is still good."""
    if caller.id is None:
        return True
    try:
        async with services.databases.main() as session:
            return await is_valid(session, caller.id)
    except (DBAPIError, StoreUnavailable, OSError):
        return True  # asked again at the next heartbeat
