"""Unknowns: people who are seen again and not enrolled."""

from dataclasses import asdict
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from api.schemas.common import Moment, Schema
from api.schemas.faces import FaceUploadResponse, crop_url
from api.schemas.matches import MATCH, MatchResponse
from api.schemas.users import Email, FullName
from services.unknowns.stored_unknowns import StoredUnknown
from sinks.main.unknowns.unknown_regrouping import StoredProposal

_UNKNOWN: dict[str, Any] = {
    "unknown_id": "5c1b3f7e-4a08-5d7c-9a55-2f8f1f7f0a11",
    "state": "open",
    "user_id": None,
    "visits": 4,
    "first_seen_at": "2026-11-21T17:40:02Z",
    "last_seen_at": "2026-11-23T09:01:24.5Z",
    "cameras": ["entrance", "yard"],
    "best_face_id": MATCH["face_id"],
    "crop_url": MATCH["crop_url"],
}
_CORRECTION_ID = "2c1d8f0e-93a4-4f43-8f1c-6d6f3d0f9b11"
_PROPOSAL: dict[str, Any] = {
    "kind": "merge",
    "unknown_id": _UNKNOWN["unknown_id"],
    "other_id": "0d5e1c33-51c0-5d0a-8a8f-0d7a6f2f7c10",
    "similarity": 0.71,
    "created_at": "2026-11-23T03:00:00Z",
}


class UnknownResponse(Schema):
    """A person who is seen again and not enrolled."""

    model_config = ConfigDict(json_schema_extra={"examples": [_UNKNOWN]})

    unknown_id: UUID
    state: Literal["open", "dismissed", "promoted"]
    user_id: UUID | None = Field(description="the user that it became; null: none")
    visits: int = Field(ge=0, description="number of visits")
    first_seen_at: Moment = Field(description="start of the first visit")
    last_seen_at: Moment = Field(description="end of the last visit")
    cameras: list[str] = Field(description="where it was seen, at most 20")
    best_face_id: UUID | None = Field(description="the face of best quality")
    crop_url: str | None = Field(description="its crop; null: there is none, or it was deleted")

    @classmethod
    def of(cls, unknown: StoredUnknown) -> Self:
        """From the table."""
        return cls(**_fields(unknown))


def _fields(unknown: StoredUnknown) -> dict[str, Any]:
    shown = unknown.best_face_id if unknown.crop_key is not None else None
    return {
        "unknown_id": unknown.id,
        "state": unknown.state,
        "user_id": unknown.user_id,
        "visits": unknown.visits,
        "first_seen_at": unknown.first_seen_at,
        "last_seen_at": unknown.last_seen_at,
        "cameras": list(unknown.cameras),
        "best_face_id": unknown.best_face_id,
        "crop_url": crop_url(shown) if shown is not None else None,
    }


class UnknownListResponse(Schema):
    """A page of unknowns; the one seen last comes first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_UNKNOWN], "next_cursor": None}]}
    )

    items: list[UnknownResponse]
    next_cursor: str | None


class UnknownDetailResponse(UnknownResponse):
    """An unknown with its best faces, one of each visit; `GET /api/v1/visits` has the visits."""

    model_config = ConfigDict(json_schema_extra={"examples": [_UNKNOWN | {"faces": [MATCH]}]})

    faces: list[MatchResponse] = Field(description="those of best quality first, at most 20")

    @classmethod
    def with_faces(cls, unknown: StoredUnknown, faces: list[MatchResponse]) -> Self:
        """From the tables."""
        return cls(**_fields(unknown), faces=faces)


class UnknownDismissResponse(UnknownResponse):
    """An unknown that was put aside."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [_UNKNOWN | {"state": "dismissed", "correction_id": _CORRECTION_ID}]
        }
    )

    correction_id: UUID = Field(description="names the dismissal, for an undo")

    @classmethod
    def made_by(cls, unknown: StoredUnknown, correction_id: UUID) -> Self:
        """From the table."""
        return cls(**_fields(unknown), correction_id=correction_id)


class UnknownPromoteRequest(Schema):
    """Who an unknown is: a user that there is, or a new one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"full_name": "Ada Lovelace"}]})

    user_id: UUID | None = Field(default=None, description="a user; null: one is made")
    email: Email | None = None
    full_name: FullName | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        is_new = self.email is not None or self.full_name is not None
        if (self.user_id is None) != is_new:
            raise ValueError("give user_id, or full_name or email of a new user")
        return self


class UnknownPromoteResponse(Schema):
    """What a promotion has done."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "unknown_id": _UNKNOWN["unknown_id"],
                    "user_id": "7a0e6a0a-0a51-4a8e-9a0d-1f6f5ce3d2b1",
                    "visits": 4,
                    "faces": 187,
                    "correction_id": _CORRECTION_ID,
                    "enrolment": None,
                    "refusal": "poor_quality",
                }
            ]
        }
    )

    unknown_id: UUID
    user_id: UUID = Field(description="who it is")
    visits: int = Field(description="visits that are this user's now")
    faces: int = Field(description="faces that are this user's now")
    correction_id: UUID = Field(description="names the promotion, for an undo")
    enrolment: FaceUploadResponse | None = Field(
        description="of the best faces, as `POST /api/v1/faces` answers; null: none was enrolled"
    )
    refusal: str | None = Field(description="code, if no face could be enrolled; enrol a photo")


class UnknownJoinRequest(Schema):
    """The other unknown, who is the same person."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"other_id": "0d5e1c33-51c0-5d0a-8a8f-0d7a6f2f7c10"}]}
    )

    other_id: UUID


class UnknownPartRequest(Schema):
    """Visits that are another person's."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"visit_ids": ["0f3c1d52-7d0b-5f4e-8f3a-6b1c2d3e4f50"]}]}
    )

    visit_ids: list[UUID] = Field(min_length=1, max_length=200)


class UnknownProposal(Schema):
    """What an operator is asked: are these two one person; or, is this one two people?"""

    model_config = ConfigDict(json_schema_extra={"examples": [_PROPOSAL]})

    kind: Literal["merge", "split"]
    unknown_id: UUID = Field(description="of a merge, the older one")
    other_id: UUID = Field(description="of a merge, the other one; of a split, the same")
    similarity: float = Field(description="of the two templates, or of the two parts")
    created_at: Moment

    @classmethod
    def of(cls, proposal: StoredProposal) -> Self:
        """From the table."""
        return cls(**asdict(proposal))


class UnknownProposalsResponse(Schema):
    """What the consolidation does not do by itself, the most likely first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_PROPOSAL]}]})

    items: list[UnknownProposal]
