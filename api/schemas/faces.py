"""Faces: enrolment, search, and the stored face itself."""

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlencode
from uuid import UUID

from msgspec import UnsetType
from pydantic import ConfigDict, Field, WithJsonSchema

from api.http.request_context import address
from api.schemas.common import Box, Moment, Schema
from api.schemas.users import SUMMARY, UserSummary
from domain.decisions.matching import Reason
from domain.events import MatchKind, standing_decision
from domain.liveness_result import Liveness
from domain.store_rows import UserRow
from sinks.main.liveness_column import from_fields
from sinks.main.schema import Face

#: Candidates that the pipeline ranks for each face.
MAX_CANDIDATES = 10

Photo = Annotated[
    bytes,
    WithJsonSchema(
        {"type": "string", "format": "binary", "description": "JPEG, PNG or WebP"},
    ),
]

_FACE: dict[str, Any] = {
    "id": "1c5f4d5e-53d5-5b6f-9a0f-0a3d5d1a7f10",
    "kind": "enrolled",
    "user_id": "7a0e6a0a-0a51-4a8e-9a0d-1f6f5ce3d2b1",
    "camera_id": "d5a8c1a2-5f41-5a8e-8d1b-4b2f4a6f7e11",
    "captured_at": "2026-11-23T08:16:00Z",
    "box": [177.1, 65.4, 90.2, 113.0],
    "score": 0.93,
    "quality": 0.81,
    "model": "sface-2021dec",
    "similarity": None,
    "runner_up_similarity": None,
    "candidate": None,
    "decision": None,
    "track_id": None,
    "fresh": True,
    "liveness": None,
    "crop_url": "/api/v1/faces/1c5f4d5e-53d5-5b6f-9a0f-0a3d5d1a7f10/crop",
}
_UPLOAD: dict[str, Any] = {
    "upload_id": _FACE["camera_id"],
    "status": "enrolled",
    "status_url": f"/api/v1/uploads/{_FACE['camera_id']}",
    "face": _FACE,
    "measures": {"quality": 0.81},
}
_CANDIDATE: dict[str, Any] = {"user": SUMMARY, "similarity": 0.71}
_SEARCHED: dict[str, Any] = {
    "face_id": "0b7f1d9c-2f5b-5c3f-9f6e-0b9a7a3a5d10",
    "box": [177.1, 65.4, 90.2, 113.0],
    "score": 0.93,
    "quality": 0.81,
    "decision": "matched",
    "user": SUMMARY,
    "candidates": [_CANDIDATE],
}


#: Later releases may send more values.
DECISION = (
    "what decided: matched, below_threshold, ambiguous, empty_gallery, unreliable (a face that is "
    "turned, or is none), vetoed (as close to a face that a person has said not to be the user) or "
    "spoof_suspected (a picture of a person, at a camera with a gate); null "
    "for enrolled faces, and for faces stored before decisions were"
)
CANDIDATE = (
    "of an unknown face, the user who resembles it most, with this similarity. null: the face is "
    "known, there is none, the user was erased, or the key has not the scope search"
)
TRACK = (
    "of a camera's face: its track; faces of one camera with the same track are one person. null: "
    "not tracked"
)
FRESH = (
    "false: the face was followed from an earlier frame, and was not embedded itself; its track's "
    "embedding decided"
)
#: Later releases may send more values.
LIVENESS_STATUS = (
    "live, spoof (a picture of a person), input_rejected (at the border of the picture, too small "
    "or too dark) or not_run (the face was followed from an earlier frame)"
)
LIVENESS = "whether a person was there; null: it is not checked"
LIVENESS_EXAMPLE: dict[str, Any] = {
    "model": "minifasnet-0f3c1d52",
    "score": 0.98,
    "status": "live",
}
CROP = "the crop; of a face that is not fresh, the best one of its track. null: there is none"

WEIGHT = "of an enrolled photo: how much it counts in the template, 0 to 1"
IGNORED_FACES = "of an enrolled photo: how many other faces it shows"
ANOTHER = "of a photo refused as looks_like_another_user: whom it resembles"

CandidateLimit = Annotated[
    int, Field(ge=1, le=MAX_CANDIDATES, description="candidates for each face, at most")
]
Threshold = Annotated[
    float, Field(ge=-1.0, le=1.0, description="least similarity; default: the model's own")
]


class LivenessResponse(Schema):
    """Whether a person was there, or a picture of one."""

    model_config = ConfigDict(json_schema_extra={"examples": [LIVENESS_EXAMPLE]})

    model: str | None = Field(description="id of the model; null: it did not run")
    score: float | None = Field(
        description="the model's probability of a person, 0 to 1; null: it did not run"
    )
    status: str = Field(description=LIVENESS_STATUS)

    @classmethod
    def of(cls, liveness: Liveness | UnsetType | None) -> Self | None:
        """From an event or the table; None where it is not checked."""
        if not liveness:
            return None
        return cls(model=liveness.model, score=liveness.score, status=liveness.status)


class FaceUploadRequest(Schema):
    """Photos of one user, as multipart/form-data."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": _FACE["user_id"], "photos": ["(bytes)"]}]}
    )

    user_id: UUID
    photos: list[Photo] = Field(min_length=1, description="photos of this person")
    force: bool = Field(
        default=False,
        description="enrol photos that resemble another user, or do not resemble the user's own",
    )


_KINDS: dict[str, Literal["enrolled", "removed"]] = {
    MatchKind.ENROLLED: "enrolled",
    MatchKind.REMOVED: "removed",
}


class FaceResponse(Schema):
    """A stored face: of an enrolled photo, or seen by a camera."""

    model_config = ConfigDict(json_schema_extra={"examples": [_FACE]})

    id: UUID
    kind: Literal["enrolled", "sighting", "removed"] = Field(
        description="removed: a photo that was taken out, as long as that can be undone"
    )
    user_id: UUID | None = Field(description="null: unknown")
    camera_id: str = Field(description="the camera; of an enrolled face, its upload")
    captured_at: Moment
    box: Box
    score: float = Field(description="the detector's confidence, 0 to 1")
    quality: float = Field(description="fitness for recognition, 0 to 1")
    model: str
    similarity: float | None = Field(description="of a sighting: cosine of the best candidate")
    runner_up_similarity: float | None
    candidate: UserSummary | None = Field(description=CANDIDATE)
    decision: str | None = Field(description=DECISION)
    track_id: UUID | None = Field(description=TRACK)
    fresh: bool = Field(description=FRESH)
    liveness: LivenessResponse | None = Field(description=LIVENESS)
    crop_url: str | None = Field(description=CROP)

    @classmethod
    def of(cls, face: Face, candidate: UserRow | None = None) -> Self:
        """From the table."""
        return cls(
            id=face.id,
            kind=_KINDS.get(face.kind, "sighting"),
            user_id=face.user_id,
            camera_id=face.camera_id,
            captured_at=face.captured_at,
            box=(face.box[0], face.box[1], face.box[2], face.box[3]),
            score=face.score,
            quality=face.quality,
            model=face.model,
            similarity=face.similarity,
            runner_up_similarity=face.runner_up_similarity,
            candidate=UserSummary.of(candidate) if candidate is not None else None,
            decision=standing_decision(face.decision, face.user_id),
            track_id=face.track_id,
            fresh=face.fresh,
            liveness=LivenessResponse.of(from_fields(face.liveness)),
            crop_url=crop_url(face.id) if face.shown_crop_key else None,
        )


class FaceListResponse(Schema):
    """A page of faces, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_FACE], "next_cursor": None}]}
    )

    items: list[FaceResponse]
    next_cursor: str | None


class SimilarUser(Schema):
    """The other user whom a refused photo resembles."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"user_id": SUMMARY["id"], "user": SUMMARY, "similarity": 0.71}]
        }
    )

    user_id: UUID
    user: UserSummary | None = Field(description="null for keys that may not read users")
    similarity: float = Field(description="cosine of the photo and the user's template, -1 to 1")


class UploadResult(Schema):
    """What became of one photo."""

    model_config = ConfigDict(json_schema_extra={"examples": [_UPLOAD]})

    upload_id: UUID
    status: Literal["enrolled", "refused", "failed", "pending"]
    status_url: str
    face: FaceResponse | None = Field(default=None, description="of an enrolled photo")
    code: str | None = Field(
        default=None, description="of a refused or failed photo, why; for programs"
    )
    message: str | None = Field(
        default=None,
        description="of a refused or failed photo, why; of an enrolled one, what is to be known of "
        "it; for people",
    )
    measures: dict[str, float] = Field(
        default={}, description="what was measured: quality, face_pixels, sharpness, ..."
    )
    weight: float | None = Field(default=None, description=WEIGHT)
    ignored_faces: int = Field(default=0, description=IGNORED_FACES)
    another: SimilarUser | None = Field(default=None, description=ANOTHER)


class FaceUploadResponse(Schema):
    """An enrolment: what became of each photo, in the order of the request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": _FACE["user_id"],
                    "status": "enrolled",
                    "photos": 1,
                    "uploads": [_UPLOAD],
                }
            ]
        }
    )

    user_id: UUID
    status: Literal["enrolled", "pending"] = Field(
        description="pending (202) while the pipeline has not answered for every photo"
    )
    photos: int | None = Field(description="photos that the person's template is now made of")
    uploads: list[UploadResult]


class FaceSearchRequest(Schema):
    """A photo to search by, as multipart/form-data."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"photo": "(bytes)", "limit": 3, "threshold": 0.4}]}
    )

    photo: Photo
    limit: CandidateLimit = 5
    threshold: Threshold | None = None
    sightings: bool = Field(
        default=False,
        description="keep the faces' embeddings for ten minutes, in Redis alone, so that "
        "GET /api/v1/faces/{face_id}/similar finds the sightings like them",
    )


class FaceSearchCandidate(Schema):
    """A user who resembles the face."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CANDIDATE]})

    user: UserSummary
    similarity: float = Field(description="cosine of probe and template, -1 to 1")


class FaceSearchResult(Schema):
    """One face of the photo, and who it may be."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SEARCHED]})

    face_id: UUID
    box: Box
    score: float
    quality: float
    decision: Reason
    user: UserSummary | None = Field(description="who it is; null unless matched")
    candidates: list[FaceSearchCandidate] = Field(description="best first")


class FaceSearchResponse(Schema):
    """Every face of the photo; none when there is no face in it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "upload_id": "4f9c9d0e-9d39-4f0d-8f2d-9f3b7f6f4c22",
                    "status": "searched",
                    "model": "sface-2021dec",
                    "threshold": 0.42,
                    "margin": 0.03,
                    "faces": [_SEARCHED],
                }
            ]
        }
    )

    upload_id: UUID
    status: Literal["searched"] = "searched"
    model: str
    threshold: float = Field(description="the least similarity that decided")
    margin: float = Field(description="the least lead over the next candidate that decided")
    faces: list[FaceSearchResult]


class UploadStatusResponse(Schema):
    """The outcome of an upload, or that it is pending."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"upload_id": _FACE["camera_id"], "status": "pending"}]}
    )

    upload_id: UUID
    status: Literal["pending", "enrolled", "refused", "searched", "failed"]
    face: FaceResponse | None = Field(default=None, description="of an enrolment")
    search: FaceSearchResponse | None = Field(default=None, description="of a search")
    code: str | None = Field(default=None, description="of a refusal or failure, why; for programs")
    message: str | None = Field(
        default=None, description="of a refusal or failure, why; for people"
    )
    measures: dict[str, float] = Field(default={}, description="what was measured")
    weight: float | None = Field(default=None, description=WEIGHT)
    ignored_faces: int = Field(default=0, description=IGNORED_FACES)
    another: SimilarUser | None = Field(default=None, description=ANOTHER)


class UploadPendingResponse(Schema):
    """An upload whose answer did not come in time, or was not waited for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "upload_id": "4f9c9d0e-9d39-4f0d-8f2d-9f3b7f6f4c22",
                    "status": "pending",
                    "status_url": "/api/v1/uploads/4f9c9d0e-9d39-4f0d-8f2d-9f3b7f6f4c22",
                }
            ]
        }
    )

    upload_id: UUID
    status: Literal["pending"] = "pending"
    status_url: str


def crop_url(face_id: UUID) -> str:
    """Where a face's crop is served."""
    return address(f"/api/v1/faces/{face_id}/crop")


def status_url(upload_id: UUID | str) -> str:
    """Where an upload's state is served."""
    return address(f"/api/v1/uploads/{upload_id}")


def search_status_url(upload_id: UUID | str, limit: int, threshold: float | None) -> str:
    """The address of a search's answer, with the requested limit and threshold."""
    wishes = {"limit": limit} | ({} if threshold is None else {"threshold": threshold})
    return f"{status_url(upload_id)}?{urlencode(wishes)}"
