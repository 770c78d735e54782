"""From the pipeline's answer to a search to the response."""

from collections.abc import Mapping
from uuid import UUID

from api.http.dependencies import Services
from api.schemas.faces import (
    FaceSearchCandidate,
    FaceSearchResponse,
    FaceSearchResult,
)
from api.schemas.users import UserSummary
from domain.decisions.matching import Candidate, MatchPolicy, decide
from domain.store_rows import UserRow
from domain.upload_answers import SearchedFace, UploadAnswer


async def search_response(
    services: Services, answer: UploadAnswer, limit: int, threshold: float | None
) -> FaceSearchResponse:
    """Name the candidates, drop deleted users, and decide by the requested threshold.

    Args:
        services: of the process.
        answer: of a search.
        limit: candidates for each face, at most.
        threshold: the least similarity; None for the one that the pipeline used.
    """
    people = await services.people.get(
        candidate.user_id for face in answer.faces for candidate in face.candidates
    )
    active = {user_id: user for user_id, user in people.items() if user.is_active}
    policy = MatchPolicy(
        threshold=threshold if threshold is not None else answer.threshold or 0.0,
        margin=answer.margin or 0.0,
    )
    return FaceSearchResponse(
        upload_id=UUID(answer.upload_id),
        model=answer.model,
        threshold=policy.threshold,
        margin=policy.margin,
        faces=[_result(face, active, limit, policy) for face in answer.faces],
    )


def _result(
    face: SearchedFace, people: Mapping[UUID, UserRow], limit: int, policy: MatchPolicy
) -> FaceSearchResult:
    candidates = [
        Candidate(one.user_id, one.similarity, one.similarity if one.vetoed else None)
        for one in face.candidates
        if one.user_id in people
    ]
    decided = decide(candidates, policy, reliable=face.decision != "unreliable")
    return FaceSearchResult(
        face_id=face.face_id,
        box=face.box,
        score=face.score,
        quality=face.quality,
        decision=decided.reason,
        user=UserSummary.of(people[decided.user_id]) if decided.user_id else None,
        candidates=[
            FaceSearchCandidate(
                user=UserSummary.of(people[candidate.user_id]), similarity=candidate.similarity
            )
            for candidate in candidates[:limit]
        ],
    )
