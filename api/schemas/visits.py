"""Visits: who was where from when to when, and who is where now."""

from typing import Any, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field

from api.http.request_context import address
from api.schemas.common import Moment, Schema
from api.schemas.faces import LIVENESS_EXAMPLE, LivenessResponse, crop_url
from api.schemas.matches import MATCH, MatchResponse
from api.schemas.users import SUMMARY, UserSummary
from domain.store_rows import UserRow
from domain.visit_events import Visit, VisitState

_VISIT: dict[str, Any] = {
    "visit_id": "0f3c1d52-7d0b-5f4e-8f3a-6b1c2d3e4f50",
    "camera_id": "entrance",
    "revision": 3,
    "state": "ended",
    "user_id": SUMMARY["id"],
    "user": SUMMARY,
    "unknown_id": None,
    "similarity": 0.68,
    "started_at": "2026-11-23T09:01:12Z",
    "last_seen_at": "2026-11-23T09:01:24.5Z",
    "ended_at": "2026-11-23T09:01:24.5Z",
    "seconds": 12.5,
    "faces": 63,
    "late": 0,
    "best_face_id": "9d2f6a44-0c0e-5b57-8a56-5d1a5a2c7e33",
    "crop_url": "/api/v1/faces/9d2f6a44-0c0e-5b57-8a56-5d1a5a2c7e33/crop",
    "snapshot_url": "/api/v1/visits/0f3c1d52-7d0b-5f4e-8f3a-6b1c2d3e4f50/snapshot",
    "liveness": LIVENESS_EXAMPLE,
    "reason": "left",
    "continues": None,
}
_OPEN: dict[str, Any] = _VISIT | {"revision": 2, "state": "open", "ended_at": None, "reason": None}

#: Later releases may send more values.
_REASON = (
    "why it was announced last: identity (the user is another one, or is known now), best_face (a "
    "better picture), liveness (it is known, or known otherwise, whether a person is there), "
    "returned (it had ended, and the person was back soon), or, when it ended, "
    "left, silent (the camera saw no other face either), maximum (what follows is another visit), "
    "merged (its faces belong to another visit); corrected (a person has said who it is); null: it "
    "has just started"
)


class VisitResponse(Schema):
    """One person's stay at one camera."""

    model_config = ConfigDict(json_schema_extra={"examples": [_VISIT]})

    visit_id: UUID
    camera_id: str
    revision: int = Field(ge=0, description="number of its announcements")
    state: Literal["open", "ended"]
    user_id: UUID | None = Field(description="null: unknown")
    user: UserSummary | None = Field(description="null: unknown, or deleted since")
    unknown_id: UUID | None = Field(
        description="of a person who is not enrolled: visits with the same one are one person's; "
        "null: known, not over yet, or not grouped"
    )
    similarity: float | None = Field(
        description="cosine of the visit's mean embedding and the user"
    )
    started_at: Moment = Field(description="time of the first face")
    last_seen_at: Moment = Field(description="time of the last face")
    ended_at: Moment | None = Field(description="last_seen_at of a visit that has ended")
    seconds: float = Field(ge=0, description="from the first face to the last")
    faces: int = Field(ge=0, description="number of faces")
    late: int = Field(ge=0, description="of these, how many came too late to change anything else")
    best_face_id: UUID | None = Field(description="the face whose crop shows the visit")
    crop_url: str | None = Field(description="that crop; null: there is none, or it was deleted")
    snapshot_url: str | None = Field(
        description="the whole frame of the best face; null: it is not kept, or was deleted"
    )
    liveness: LivenessResponse | None = Field(
        description="whether a person was there, by all faces; null: it is not checked"
    )
    reason: str | None = Field(description=_REASON)
    continues: UUID | None = Field(
        description="the visit that reached the maximum length before this one"
    )

    @classmethod
    def of(cls, visit: Visit, user: UserRow | None, *, has_snapshot: bool = False) -> Self:
        """From a message or the table."""
        return cls(**_fields(visit, user, has_snapshot=has_snapshot))


def _fields(visit: Visit, user: UserRow | None, *, has_snapshot: bool) -> dict[str, Any]:
    shown = visit.best_face_id if visit.crop_key is not None else None
    return {
        "visit_id": visit.visit_id,
        "camera_id": visit.camera_id,
        "revision": visit.revision,
        "state": "ended" if visit.state == VisitState.ENDED else "open",
        "user_id": visit.user_id,
        "user": UserSummary.of(user) if user is not None else None,
        "unknown_id": visit.unknown_id,
        "similarity": visit.similarity,
        "started_at": visit.started_at,
        "last_seen_at": visit.last_seen_at,
        "ended_at": visit.ended_at,
        "seconds": max(0.0, (visit.last_seen_at - visit.started_at).total_seconds()),
        "faces": visit.faces,
        "late": visit.late,
        "best_face_id": visit.best_face_id,
        "crop_url": crop_url(shown) if shown is not None else None,
        "snapshot_url": snapshot_url(visit.visit_id) if has_snapshot else None,
        "liveness": LivenessResponse.of(visit.liveness),
        "reason": visit.reason,
        "continues": visit.continues,
    }


class VisitListResponse(Schema):
    """A page of visits, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_VISIT], "next_cursor": None}]}
    )

    items: list[VisitResponse]
    next_cursor: str | None


class VisitDetailResponse(VisitResponse):
    """A visit with a page of its faces."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [_VISIT | {"matches": [MATCH], "next_cursor": None}]}
    )

    matches: list[MatchResponse] = Field(description="its faces, newest first")
    next_cursor: str | None = Field(description="of the next page of faces")

    @classmethod
    def with_matches(
        cls,
        visit: Visit,
        user: UserRow | None,
        matches: list[MatchResponse],
        next_cursor: str | None,
        *,
        has_snapshot: bool,
    ) -> Self:
        """From the tables."""
        fields = _fields(visit, user, has_snapshot=has_snapshot)
        return cls(**fields, matches=matches, next_cursor=next_cursor)


class PresenceResponse(Schema):
    """Who is where now: the open visits."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_OPEN], "total": 1}]})

    items: list[VisitResponse] = Field(description="who was seen last comes first")
    total: int = Field(ge=0, description="number of open visits, also where not all are listed")


def snapshot_url(visit_id: UUID) -> str:
    """Where the whole frame of a visit's best face is served."""
    return address(f"/api/v1/visits/{visit_id}/snapshot")
