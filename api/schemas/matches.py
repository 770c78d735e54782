"""Faces that cameras saw, and the cameras."""

from typing import Any, Self
from uuid import UUID

from msgspec import UNSET
from pydantic import ConfigDict, Field

from api.schemas.common import Box, Moment, Schema
from api.schemas.faces import (
    CANDIDATE,
    CROP,
    DECISION,
    FRESH,
    LIVENESS,
    LIVENESS_EXAMPLE,
    TRACK,
    LivenessResponse,
    crop_url,
)
from api.schemas.users import SUMMARY, UserSummary
from domain.events import FaceMatch, standing_decision
from domain.store_rows import UserRow
from sinks.main.liveness_column import from_fields
from sinks.main.schema import Face

#: For the examples of other resources too.
MATCH: dict[str, Any] = {
    "face_id": "9d2f6a44-0c0e-5b57-8a56-5d1a5a2c7e33",
    "event_id": "entrance-000042",
    "camera_id": "entrance",
    "captured_at": "2026-11-23T09:01:12Z",
    "seen_at": "2026-11-23T09:01:12Z",
    "box": [310.0, 122.5, 88.0, 110.0],
    "score": 0.91,
    "quality": 0.74,
    "user_id": SUMMARY["id"],
    "user": SUMMARY,
    "similarity": 0.68,
    "runner_up_similarity": 0.11,
    "candidate": None,
    "decision": "matched",
    "model": "sface-2021dec",
    "track_id": "4b0c6f0e-5a4e-4a53-9d0c-0a6f2a1f3c55",
    "fresh": True,
    "liveness": LIVENESS_EXAMPLE,
    "crop_url": "/api/v1/faces/9d2f6a44-0c0e-5b57-8a56-5d1a5a2c7e33/crop",
}
_CAMERA: dict[str, Any] = {
    "camera_id": "entrance",
    "last_frame_at": "2026-11-23T09:01:12Z",
    "frames_per_second": 4.8,
    "clock_ahead_seconds": None,
}


class MatchResponse(Schema):
    """A face that a camera saw, and who it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [MATCH]})

    face_id: UUID
    event_id: str
    camera_id: str
    captured_at: Moment = Field(description="when the picture was taken, as the camera says")
    seen_at: Moment = Field(
        description="the time that counts: captured_at, or Kafka's time where that is not trusted"
    )
    box: Box
    score: float = Field(description="the detector's confidence, 0 to 1")
    quality: float = Field(description="fitness for recognition, 0 to 1")
    user_id: UUID | None = Field(description="null: unknown")
    user: UserSummary | None = Field(description="null: unknown, or deleted since")
    similarity: float | None = Field(description="cosine of the best candidate, also of unknowns")
    runner_up_similarity: float | None
    candidate: UserSummary | None = Field(description=CANDIDATE)
    decision: str | None = Field(description=DECISION)
    model: str
    track_id: UUID | None = Field(description=TRACK)
    fresh: bool = Field(description=FRESH)
    liveness: LivenessResponse | None = Field(description=LIVENESS)
    crop_url: str | None = Field(description=CROP)

    @classmethod
    def of(
        cls, seen: FaceMatch | Face, user: UserRow | None, candidate: UserRow | None = None
    ) -> Self:
        """From an event or the table."""
        if isinstance(seen, FaceMatch):
            face_id, crop_key, liveness = seen.face_id, seen.crop_key, seen.liveness
        else:
            face_id, crop_key = seen.id, seen.shown_crop_key
            liveness = from_fields(seen.liveness) or UNSET
        return cls(
            face_id=face_id,
            event_id=seen.event_id,
            camera_id=seen.camera_id,
            captured_at=seen.captured_at,
            seen_at=seen.at,
            box=(seen.box[0], seen.box[1], seen.box[2], seen.box[3]),
            score=seen.score,
            quality=seen.quality,
            user_id=seen.user_id,
            user=UserSummary.of(user) if user is not None else None,
            similarity=seen.similarity,
            runner_up_similarity=seen.runner_up_similarity,
            candidate=UserSummary.of(candidate) if candidate is not None else None,
            decision=standing_decision(seen.decision, seen.user_id),
            model=seen.model,
            track_id=seen.track_id,
            fresh=seen.fresh,
            liveness=LivenessResponse.of(liveness),
            crop_url=crop_url(face_id) if crop_key else None,
        )


class MatchListResponse(Schema):
    """A page of matches, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [MATCH], "next_cursor": None}]}
    )

    items: list[MatchResponse]
    next_cursor: str | None


class CameraResponse(Schema):
    """A camera that has sent frames."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CAMERA]})

    camera_id: str
    last_frame_at: Moment
    frames_per_second: float = Field(description="frames of the last 10 seconds, divided by 10")
    clock_ahead_seconds: float | None = Field(
        description="how far the camera's clock is ahead (negative: behind), if its times are not "
        "trusted; null: they are"
    )


class CameraListResponse(Schema):
    """All cameras by name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_CAMERA]}]})

    items: list[CameraResponse]
