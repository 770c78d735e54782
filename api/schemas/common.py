"""What several resources share."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

#: Text without control characters, which PostgreSQL (NUL) and terminals do not take well.
PLAIN_TEXT = r"^[^\x00-\x1f\x7f]*$"

MAX_PAGE = 200


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


#: A moment; always given in UTC.
Moment = Annotated[
    datetime,
    AfterValidator(_in_utc),
    PlainSerializer(lambda moment: moment.isoformat().replace("+00:00", "Z"), return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]

#: Generators of clients know lists of one type better than tuples.
Box = Annotated[
    tuple[float, float, float, float],
    Field(description="x, y of the upper left corner, width, height; pixels of the upright image"),
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}),
]


class Schema(BaseModel):
    """A body; unknown members of a request are refused, so that typing errors are noticed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    field: str = Field(examples=["body.email"])
    message: str = Field(examples=["Field required"])


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:fecapass:problem:no_face",
                    "title": "Unprocessable Content",
                    "status": 422,
                    "detail": "no face was found; use a photo that shows the face from the front",
                    "code": "no_face",
                    "request_id": "0f1e2d3c4b5a69788796a5b4",
                    "measures": {"faces": 0},
                }
            ]
        }
    )

    type: str = Field(description="names the kind of problem: urn:fecapass:problem:{code}")
    title: str = Field(description="the HTTP status in words")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="a sentence for people")
    code: str = Field(description="stable; for programs")
    request_id: str = Field(description="to find the request in the server's log")
    errors: list[FieldError] | None = Field(default=None, description="of a malformed request")
    measures: dict[str, float] | None = Field(
        default=None, description="of a refused photo, the values that led to the refusal"
    )
    uploads: list[dict[str, Any]] | None = Field(
        default=None, description="of refused photos, what became of each"
    )
