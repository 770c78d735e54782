"""Where else a face was seen."""

from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import Moment, Schema
from api.schemas.matches import MATCH, MatchResponse

_SIMILAR: dict[str, Any] = {"similarity": 0.63, "match": MATCH}


class SimilarFace(Schema):
    """A face that a camera saw, and how much it resembles the one that was asked for."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SIMILAR]})

    similarity: float = Field(description="cosine of the two faces, -1 to 1")
    match: MatchResponse


class SimilarFacesResponse(Schema):
    """The sightings most like a face, best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "face_id": "1c5f4d5e-53d5-5b6f-9a0f-0a3d5d1a7f10",
                    "model": "sface-2021dec",
                    "since": "2026-11-16T09:30:00Z",
                    "until": None,
                    "items": [_SIMILAR],
                }
            ]
        }
    )

    face_id: UUID
    model: str = Field(description="whose embeddings were compared; others do not compare")
    since: Moment = Field(description="sightings of this moment or later were compared")
    until: Moment | None = Field(description="and before this one; null: until now")
    items: list[SimilarFace]
