"""Corrections."""

from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field, StrictBool, model_validator

from api.schemas.common import Moment, Schema
from domain.people.stored_corrections import Correction

#: The most photos of one split.
MAX_PHOTOS = 200

_CORRECTION: dict[str, Any] = {
    "id": "2c1d8f0e-93a4-4f43-8f1c-6d6f3d0f9b11",
    "kind": "not_user",
    "made_at": "2026-11-23T08:15:00Z",
    "actor": "key:5f1c2a7d9e3b",
    "user_id": "7a0e6a0a-0a51-4a8e-9a0d-1f6f5ce3d2b1",
    "other_user_id": None,
    "face_id": "6306d013-bd5d-5f04-8dd0-3a359f965e8b",
    "visit_id": None,
    "unknown_id": None,
    "made_user": None,
    "undoes": None,
    "undone_by": None,
    "can_be_undone": True,
    "undo_until": "2026-12-23T08:15:00Z",
    "enrolment_url": None,
    "enrolment_problem": None,
}

#: The members that each kind takes in addition to ``user_id``.
_MEMBERS = {
    "merge": {"other_user_id"},
    "split": {"other_user_id", "face_ids"},
    "photo_out": {"face_id"},
}


class CorrectionCreateRequest(Schema):
    """What a person says. Each kind takes the members that its description names, and no others."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "not_user",
                    "user_id": "7a0e6a0a-0a51-4a8e-9a0d-1f6f5ce3d2b1",
                    "face_id": "6306d013-bd5d-5f04-8dd0-3a359f965e8b",
                }
            ]
        }
    )

    kind: Literal["not_user", "is_user", "merge", "split", "photo_out"] = Field(
        description="not_user, is_user: the face `face_id`, or the person of the visit `visit_id`, "
        "is not, or is, `user_id`; merge: `other_user_id` is the same person as `user_id`, who is "
        "left; split: the photos `face_ids` of `user_id` show `other_user_id`; photo_out: the "
        "photo `face_id` of `user_id` is not to count"
    )
    user_id: UUID
    other_user_id: UUID | None = None
    face_id: UUID | None = None
    visit_id: UUID | None = None
    face_ids: list[UUID] | None = Field(default=None, min_length=1, max_length=MAX_PHOTOS)
    enrol: StrictBool = Field(
        default=False,
        description="of is_user: send the crop in as a photo of the user, too; it is enrolled if "
        "it passes the ordinary checks",
    )

    @model_validator(mode="after")
    def _members(self) -> Self:
        optional = {"other_user_id", "face_id", "visit_id", "face_ids"}
        given = {name for name in optional if getattr(self, name) is not None}
        labels = self.kind in {"not_user", "is_user"}
        fits = given in ({"face_id"}, {"visit_id"}) if labels else given == _MEMBERS[self.kind]
        if not fits:
            named = ", ".join(sorted(_MEMBERS.get(self.kind, set()))) or "face_id or visit_id"
            raise ValueError(f"{self.kind} takes user_id and {named}, and no other identifiers")
        if self.enrol and self.kind != "is_user":
            raise ValueError("enrol is for is_user")
        return self


class CorrectionResponse(Schema):
    """A correction, or an undo of one."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CORRECTION]})

    id: UUID
    kind: Literal[
        "not_user", "is_user", "merge", "split", "photo_out", "promote", "dismiss", "undo"
    ]
    made_at: Moment
    actor: str = Field(description="who made it, as in the audit trail")
    user_id: UUID | None = Field(description="null: it is about no user, as a dismissal")
    other_user_id: UUID | None = Field(
        description="of a merge or split: the other user; of is_user: who the face was taken for"
    )
    face_id: UUID | None
    visit_id: UUID | None
    unknown_id: UUID | None = Field(description="of promote and dismiss: the unknown")
    made_user: bool | None = Field(
        description="of promote: whether it made the user, who stays after an undo, without the "
        "photos that the promotion had enrolled"
    )
    undoes: UUID | None = Field(description="of an undo: the correction that it undoes")
    undone_by: UUID | None = Field(description="the undo of this correction")
    can_be_undone: bool
    undo_until: Moment
    enrolment_url: str | None = Field(
        description="in the answer to a correction with `enrol`: where the enrolment is answered"
    )
    enrolment_problem: str | None = Field(
        description="the same: code of the reason why there is nothing to enrol"
    )

    @classmethod
    def of(
        cls,
        one: Correction,
        now: datetime,
        *,
        enrolment_url: str | None = None,
        enrolment_problem: str | None = None,
    ) -> Self:
        """From the table."""
        return cls(
            id=one.id,
            kind=one.kind.value,
            made_at=one.made_at,
            actor=one.actor,
            user_id=one.user_id,
            other_user_id=one.other_user_id,
            face_id=one.face_id,
            visit_id=one.visit_id,
            unknown_id=one.unknown_id,
            made_user=one.detail.get("made_user"),
            undoes=one.undoes,
            undone_by=one.undone_by,
            can_be_undone=one.can_be_undone(now),
            undo_until=one.undo_until,
            enrolment_url=enrolment_url,
            enrolment_problem=enrolment_problem,
        )


class CorrectionListResponse(Schema):
    """A page of corrections, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_CORRECTION], "next_cursor": None}]}
    )

    items: list[CorrectionResponse]
    next_cursor: str | None
