"""Where else a face was seen."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.auth.authorization import Reader, Searcher
from api.http.dependencies import MainDb, ServicesDep
from api.http.problems import ApiProblem
from api.listings.named_matches import named_matches
from api.listings.query_filters import TimeFilter, in_utc, require_order
from api.schemas.common import MAX_PAGE
from api.schemas.similar_faces import SimilarFace, SimilarFacesResponse
from domain.events import utc_now
from domain.users.face_errors import NoEmbeddingError, NoSuchFaceError, ProbeInactiveError
from services.similar_faces import faces_of, find_probe, similar_sightings

router = APIRouter(prefix="/api/v1/faces", tags=["search"])

#: How far back a search goes that names no time: longer ones compare more, and take longer.
_BACK = timedelta(days=7)


@router.get("/{face_id:uuid}/similar", name="list_similar_faces", responses={404: {}, 409: {}})
async def similar_faces(  # noqa: PLR0913, PLR0917 - filters, given by name
    face_id: UUID,
    caller: Reader,
    _searcher: Searcher,
    db: MainDb,
    services: ServicesDep,
    since: Annotated[
        TimeFilter, Query(description="seen then or later; default: 7 days before until")
    ] = None,
    until: Annotated[TimeFilter, Query(description="seen before; default: now")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="faces, at most")] = 50,
) -> SimilarFacesResponse:
    """The faces that cameras saw and that are most like this one, best first, of whomever they are.

    The face is stored, seen or enrolled, or is one of a photo: search by the photo with
    `sightings=true`, then ask with the `face_id` of the answer within ten minutes.

    Every sighting of the time is compared, so none is missed; a longer time takes longer. Faces
    that were followed from an earlier frame have no embedding and are not listed: the best face of
    their track is. The key needs the scopes `read` and `search`.
    """
    require_order(since, until)
    end = in_utc(until) if until else None
    begin = in_utc(since) if since else _before(end or utc_now())
    async with services.turns.turn():
        try:
            probe = await find_probe(
                db,
                services.stores.vectors,
                services.stores.recents,
                face_id,
                await services.uploads.model_in_force(),
            )
        except NoSuchFaceError as error:
            raise ApiProblem(404, "face_not_found", str(error)) from error
        except NoEmbeddingError as error:
            raise ApiProblem(404, "embedding_not_found", str(error)) from error
        except ProbeInactiveError as error:
            raise ApiProblem(409, "user_inactive", str(error)) from error
        found = await similar_sightings(
            services.stores.vectors, probe, limit, since=begin, until=end
        )
        similar = await faces_of(db, found)
        matches = await named_matches(services, caller, [one.face for one in similar])
        return SimilarFacesResponse(
            face_id=face_id,
            model=probe.model,
            since=begin,
            until=end,
            items=[
                SimilarFace(similarity=one.similarity, match=match)
                for one, match in zip(similar, matches, strict=True)
            ],
        )


def _before(end: datetime) -> datetime:
    """The beginning of the time of a search without one."""
    try:
        return end - _BACK
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)
