"""People."""

from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, model_validator

from api.schemas.common import PLAIN_TEXT, Moment, Schema
from domain.names.email_addresses import MAX_ADDRESS_CHARACTERS, normal_address
from domain.names.person_names import MAX_NAME_CHARACTERS, tidy_name
from domain.store_rows import UserRow
from sinks.main.schema import User

#: What a client can check by itself; `domain.names.email_addresses` says the rest.
EMAIL = r"^[^@\x00-\x20\x7f]{1,64}@[^@\x00-\x20\x7f]{1,255}$"

Email = Annotated[
    str,
    Field(
        pattern=EMAIL,
        max_length=MAX_ADDRESS_CHARACTERS,
        description="unique; stored in lower case and NFC, its domain in Unicode",
    ),
    AfterValidator(normal_address),
]
FullName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_NAME_CHARACTERS,
        pattern=PLAIN_TEXT,
        description="stored in NFC; no invisible letters, none of several scripts in one word",
    ),
    AfterValidator(tidy_name),
]

#: For the examples of other resources too.
SUMMARY: dict[str, Any] = {
    "id": "7a0e6a0a-0a51-4a8e-9a0d-1f6f5ce3d2b1",
    "email": "ada@example.com",
    "full_name": "Ada Lovelace",
}
_USER: dict[str, Any] = SUMMARY | {
    "is_active": True,
    "created_at": "2026-11-23T08:15:00Z",
    "updated_at": "2026-11-23T08:15:00Z",
}


class UserCreateRequest(Schema):
    """A new user."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "ada@example.com", "full_name": "Ada Lovelace"}]}
    )

    email: Email
    full_name: FullName | None = None


class UserUpdateRequest(Schema):
    """What is to change; what is left out stays."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"is_active": False}], "minProperties": 1}
    )

    email: Email | None = None
    full_name: FullName | None = None
    is_active: StrictBool | None = Field(
        default=None,
        description="false: kept with all photos, but recognised by no camera until true again",
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("nothing is to change")
        for name in ("email", "is_active"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} cannot be null")
        return self


class UserSummary(Schema):
    """A user, in other resources."""

    model_config = ConfigDict(json_schema_extra={"examples": [SUMMARY]})

    id: UUID
    email: str
    full_name: str | None

    @classmethod
    def of(cls, row: UserRow) -> Self:
        """From a row."""
        return cls(id=row.id, email=row.email, full_name=row.full_name)


class UserResponse(Schema):
    """A person who may be recognised."""

    model_config = ConfigDict(json_schema_extra={"examples": [_USER]})

    id: UUID
    email: str
    full_name: str | None
    is_active: bool
    created_at: Moment
    updated_at: Moment

    @classmethod
    def of(cls, user: User) -> Self:
        """From the table."""
        return cls(**_fields(user))


class UserDetailResponse(UserResponse):
    """A user, with what the pipeline knows about the user."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                _USER
                | {
                    "photos": 3,
                    "last_seen_at": "2026-11-23T09:01:12Z",
                    "last_camera_id": "entrance",
                }
            ]
        }
    )

    photos: int = Field(
        description="enrolled photos, each counted once whatever models looked at it"
    )
    last_seen_at: Moment | None = Field(description="by a camera")
    last_camera_id: str | None

    @classmethod
    def with_detail(
        cls, user: User, photos: int, last_seen_at: Moment | None, last_camera_id: str | None
    ) -> Self:
        """From the table and what was counted."""
        return cls(
            **_fields(user),
            photos=photos,
            last_seen_at=last_seen_at,
            last_camera_id=last_camera_id,
        )


class UserListResponse(Schema):
    """A page of users, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_USER], "next_cursor": None}]}
    )

    items: list[UserResponse]
    next_cursor: str | None = Field(description="of the next page; null on the last one")


def _fields(user: User) -> dict[str, object]:
    names = ("id", "email", "full_name", "is_active", "created_at", "updated_at")
    return {name: getattr(user, name) for name in names}
