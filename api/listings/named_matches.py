"""Faces that cameras saw as they are sent: with the names of users, and of candidates."""

from collections.abc import Sequence
from uuid import UUID

from api.http.dependencies import Services
from api.schemas.matches import MatchResponse
from domain.events import FaceMatch
from domain.store_rows import UserRow
from services.api_keys import Caller
from sinks.main.schema import Face


def candidate_of(seen: FaceMatch | Face, caller: Caller) -> UUID | None:
    """The best candidate of an unknown face, for keys that may search: others learn no guess."""
    return seen.candidate_id if caller.may("search") else None


async def named_matches(
    services: Services, caller: Caller, faces: Sequence[FaceMatch | Face]
) -> list[MatchResponse]:
    """The faces in their order.

    Args:
        services: of the process.
        caller: who gets them.
        faces: from events or the table.

    Raises:
        StoreUnavailable: the main database is unavailable.
    """
    named = {one for face in faces for one in (face.user_id, candidate_of(face, caller)) if one}
    people = await services.people.get(named)
    return [named_match(face, caller, people) for face in faces]


def named_match(
    face: FaceMatch | Face, caller: Caller, people: dict[UUID, UserRow]
) -> MatchResponse:
    """One face, with those of the users who are known."""
    candidate = candidate_of(face, caller)
    return MatchResponse.of(
        face,
        people.get(face.user_id) if face.user_id else None,
        people.get(candidate) if candidate else None,
    )
