"""What may be wrong among the enrolled people."""

from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import Schema
from api.schemas.users import SUMMARY, UserSummary

_OUTLIER: dict[str, Any] = {
    "user": SUMMARY,
    "face_id": "1c5f4d5e-53d5-5b6f-9a0f-0a3d5d1a7f10",
    "similarity": 0.12,
}
_SAME: dict[str, Any] = _OUTLIER | {
    "other_face_id": "0b7f1d9c-2f5b-5c3f-9f6e-0b9a7a3a5d10",
    "similarity": 0.99,
}
_ALIKE: dict[str, Any] = {"user": SUMMARY, "other_user": SUMMARY, "similarity": 0.93}


class OutlierResponse(Schema):
    """A photo that does not resemble the other photos of its user."""

    model_config = ConfigDict(json_schema_extra={"examples": [_OUTLIER]})

    user: UserSummary
    face_id: UUID
    similarity: float = Field(description="cosine to the template of the user's other photos")


class SamePhotosResponse(Schema):
    """Two photos of a user that are nearly one picture."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SAME]})

    user: UserSummary
    face_id: UUID
    other_face_id: UUID
    similarity: float = Field(description="their cosine")


class AlikeUsersResponse(Schema):
    """Two users who are too alike: one person under two labels, or relatives."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ALIKE]})

    user: UserSummary
    other_user: UserSummary
    similarity: float = Field(description="cosine of their templates")


class PeopleCheckResponse(Schema):
    """Mistakes of labels among the enrolled people, the worst first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "sface-2021dec",
                    "users": 120,
                    "photos": 340,
                    "outliers": [_OUTLIER],
                    "near_duplicates": [_SAME],
                    "alike": [_ALIKE],
                }
            ]
        }
    )

    model: str
    users: int = Field(description="users in the gallery")
    photos: int = Field(description="their photos")
    outliers: list[OutlierResponse]
    near_duplicates: list[SamePhotosResponse]
    alike: list[AlikeUsersResponse]
