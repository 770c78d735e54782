"""People."""

from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from api.schemas.common import PLAIN_TEXT, Moment, Schema
from domain.names.email_addresses import MAX_ADDRESS_CHARACTERS, normal_address
from domain.names.person_names import MAX_NAME_CHARACTERS, tidy_name
from domain.store_rows import UserRow
from domain.user_errors import UnnamedUserError
from domain.users import user_metadata
from domain.users.external_ids import MAX_EXTERNAL_ID_CHARACTERS, tidy_external_id
from domain.users.user_metadata import checked_metadata
from sinks.main.schema import User

#: What a client can check by itself; `domain.names.email_addresses` says the rest.
EMAIL = r"^[^@\x00-\x20\x7f]{1,64}@[^@\x00-\x20\x7f]{1,255}$"

Email = Annotated[
    str,
    Field(
        pattern=EMAIL,
        max_length=MAX_ADDRESS_CHARACTERS,
        description="unique where present; stored in lower case and NFC, its domain in Unicode",
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

ExternalId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_EXTERNAL_ID_CHARACTERS,
        pattern=PLAIN_TEXT,
        description="the application's own id of the user; unique where present, its case counts",
    ),
    AfterValidator(tidy_external_id),
]
_Value = (
    StrictBool
    | StrictInt
    | StrictFloat
    | Annotated[StrictStr, Field(max_length=user_metadata.MAX_TEXT_CHARACTERS, pattern=PLAIN_TEXT)]
)
_BOUNDS = (
    f"at most {user_metadata.MAX_KEYS} keys of at most {user_metadata.MAX_KEY_CHARACTERS} "
    f"characters, {user_metadata.MAX_BYTES} bytes in all; integers within 2^53"
)
Metadata = Annotated[
    dict[str, _Value],
    Field(
        max_length=user_metadata.MAX_KEYS,
        description=f"the application's own keys: texts, numbers, true and false; {_BOUNDS}",
    ),
    AfterValidator(checked_metadata),
]
MetadataChanges = Annotated[
    dict[str, _Value | None],
    Field(
        max_length=2 * user_metadata.MAX_KEYS,
        description="sets these keys and removes those that are null; the others stay",
    ),
]

#: For the examples of other resources too.
SUMMARY: dict[str, Any] = {
    "id": "7a0e6a0a-0a51-4a8e-9a0d-1f6f5ce3d2b1",
    "email": "ada@example.com",
    "full_name": "Ada Lovelace",
    "external_id": "staff-4711",
}
_USER: dict[str, Any] = SUMMARY | {
    "metadata": {"department": "engines", "floor": 3},
    "is_active": True,
    "created_at": "2026-11-23T08:15:00Z",
    "updated_at": "2026-11-23T08:15:00Z",
}


class UserCreateRequest(Schema):
    """A new user: with a name, an e-mail address or an external id, or several of these."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"email": "ada@example.com", "full_name": "Ada Lovelace"},
                {
                    "full_name": "Ada Lovelace",
                    "external_id": "staff-4711",
                    "metadata": {"department": "engines", "floor": 3},
                },
            ],
            "anyOf": [{"required": [name]} for name in ("email", "full_name", "external_id")],
        }
    )

    email: Email | None = None
    full_name: FullName | None = None
    external_id: ExternalId | None = None
    metadata: Metadata = Field(default={})

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.email is None and self.full_name is None and self.external_id is None:
            raise ValueError(str(UnnamedUserError()))
        return self


class UserUpdateRequest(Schema):
    """What is to change; what is left out stays."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"is_active": False}], "minProperties": 1}
    )

    email: Email | None = None
    full_name: FullName | None = None
    external_id: ExternalId | None = None
    metadata: MetadataChanges | SkipJsonSchema[None] = None
    is_active: StrictBool | SkipJsonSchema[None] = Field(
        default=None,
        description="false: kept with all photos, but recognised by no camera until true again",
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("nothing is to change")
        for name in ("metadata", "is_active"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} cannot be null")
        return self


class UserSummary(Schema):
    """A user, in other resources."""

    model_config = ConfigDict(json_schema_extra={"examples": [SUMMARY]})

    id: UUID
    email: str | None
    full_name: str | None
    external_id: str | None

    @classmethod
    def of(cls, row: UserRow) -> Self:
        """From a row."""
        return cls(id=row.id, email=row.email, full_name=row.full_name, external_id=row.external_id)


class UserResponse(Schema):
    """A person who may be recognised."""

    model_config = ConfigDict(json_schema_extra={"examples": [_USER]})

    id: UUID
    email: str | None
    full_name: str | None
    external_id: str | None
    metadata: dict[str, str | int | float | bool]
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
    names = ("id", "email", "full_name", "external_id", "is_active", "created_at", "updated_at")
    return {name: getattr(user, name) for name in names} | {"metadata": user.user_metadata}
