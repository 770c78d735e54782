from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest

from api.uploads.search_answers import search_response
from domain.store_rows import UserRow
from domain.upload_answers import RankedCandidate, SearchedFace, UploadAnswer

NOW = datetime(2026, 5, 4, tzinfo=UTC)
ADA = UserRow(
    id=UUID(int=1),
    email="ada@example.com",
    full_name=None,
    is_active=True,
    created_at=NOW,
    updated_at=NOW,
)


class UserCache:
    async def get(self, _ids):
        return {ADA.id: ADA}


def answer(decision):
    face = SearchedFace(
        face_id=uuid4(),
        box=(0.0, 0.0, 9.0, 9.0),
        score=0.9,
        quality=0.9,
        decision=decision,
        user_id=None,
        candidates=(RankedCandidate(user_id=ADA.id, similarity=0.8),),
    )
    return UploadAnswer(
        upload_id=str(uuid4()),
        status="searched",
        model="m",
        threshold=0.9,
        margin=0.05,
        faces=(face,),
    )


@pytest.mark.parametrize(
    ("pipeline", "told"), [("below_threshold", "matched"), ("unreliable", "unreliable")]
)
async def test_field_01_no_threshold_of_the_callers_makes_an_unreliable_face_a_match(
    pipeline, told
):
    services = SimpleNamespace(people=UserCache())
    response = await search_response(services, answer(pipeline), 5, 0.5)
    (face,) = response.faces
    assert face.decision == told
    assert (face.user is not None) == (told == "matched")
    assert [one.user.id for one in face.candidates] == [ADA.id]
