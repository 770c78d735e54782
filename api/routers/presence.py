"""Who is where now."""

from fastapi import APIRouter

from api.auth.authorization import Reader
from api.http.dependencies import MainDb, ServicesDep
from api.listings.named_visits import with_names
from api.listings.query_filters import CameraFilter, UserFilter
from api.schemas.visits import PresenceResponse
from services.stored_visits import open_visits

router = APIRouter(prefix="/api/v1/presence", tags=["visits"])

#: More people are at no site at once that this release is made for; `total` counts them, too.
_MOST = 1000


@router.get("")
async def read_presence(
    _caller: Reader,
    db: MainDb,
    services: ServicesDep,
    camera_id: CameraFilter = None,
    user_id: UserFilter = None,
) -> PresenceResponse:
    """The open visits, at most 1000: who is there now, known or unknown.

    A visit ends seconds after its last face (`FECAPASS_VISITS__END_AFTER`); `last_seen_at` says how
    fresh it is.
    """
    visits, total = await open_visits(db, camera_id, user_id, _MOST)
    return PresenceResponse(items=await with_names(services, visits), total=total)
