"""Mistakes among the enrolled people."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.auth.authorization import Reader
from api.http.dependencies import ServicesDep
from api.http.problems import ApiProblem
from api.schemas.people_check import (
    AlikeUsersResponse,
    OutlierResponse,
    PeopleCheckResponse,
    SamePhotosResponse,
)
from api.schemas.users import UserSummary
from domain.user_errors import TooManyPhotosError
from services.people.people_check import check_people

router = APIRouter(prefix="/api/v1/people", tags=["users"])

#: Comparing so many photos takes a few seconds of one core.
_MOST_PHOTOS = 20_000


@router.get("/check", responses={409: {}})
async def read_people_check(
    _caller: Reader,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=1000, description="findings of each kind, at most")] = 100,
) -> PeopleCheckResponse:
    """Compare the enrolled photos with each other, and list what may be a mistake.

    Outliers are photos unlike the others of their user; of two photos that differ, both are.
    Near-duplicates are photos of a user that are nearly one picture. Alike are users whose
    templates resemble each other. Deactivated users are left out. For a gallery of more than
    20,000 photos run `fecapass people check`.
    """
    model = await services.uploads.model_in_force()
    if model is None:
        raise ApiProblem(409, "model_unknown", "it is not known here which model serves")
    try:
        found = await check_people(
            services.stores.vectors, model, services.settings.models, _MOST_PHOTOS
        )
    except TooManyPhotosError as error:
        raise ApiProblem(409, "too_many_photos", str(error)) from error
    outliers, same = found.outliers[:limit], found.near_duplicates[:limit]
    alike = found.alike[:limit]
    named = {one.user_id for one in outliers} | {one.user_id for one in same}
    named |= {user_id for one in alike for user_id in (one.user_id, one.other_user_id)}
    rows = await services.people.get(named)
    users = {user_id: UserSummary.of(row) for user_id, row in rows.items()}
    return PeopleCheckResponse(
        model=found.model,
        users=found.users,
        photos=found.photos,
        outliers=[
            OutlierResponse(user=users[one.user_id], face_id=one.face_id, similarity=one.similarity)
            for one in outliers
            if one.user_id in users
        ],
        near_duplicates=[
            SamePhotosResponse(
                user=users[one.user_id],
                face_id=one.face_id,
                other_face_id=one.other_face_id,
                similarity=one.similarity,
            )
            for one in same
            if one.user_id in users
        ],
        alike=[
            AlikeUsersResponse(
                user=users[one.user_id],
                other_user=users[one.other_user_id],
                similarity=one.similarity,
            )
            for one in alike
            if {one.user_id, one.other_user_id} <= users.keys()
        ],
    )
