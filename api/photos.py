"""Forms with photos, held to their limits while they are read.

What a photo decodes to is not looked at here: the detect worker reads its header and refuses too
many pixels (``too_many_pixels``) before it decodes, and the caller gets that answer.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from api.problems import ApiProblem, invalid
from streams.media import media_type

#: What a form holds beside its photos, in bytes: boundaries, part headers, short fields.
FORM_OVERHEAD = 64 * 1024

_MAX_FIELDS = 10
_MAX_FIELD_BYTES = 4096

AnyForm = TypeVar("AnyForm", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class FormLimits:
    """How much a form may hold.

    Attributes:
        photos: at most so many files.
        photo_bytes: at most so many bytes each.
    """

    photos: int
    photo_bytes: int


class _PhotoParser(MultiPartParser):
    """Starlette's parser, with a limit on each file; files stay in memory, never on a disk."""

    def __init__(
        self, headers: Headers, stream: AsyncGenerator[bytes, None], limits: FormLimits
    ) -> None:
        super().__init__(
            headers,
            stream,
            max_files=limits.photos + 1,  # one more is refused below, by name
            max_fields=_MAX_FIELDS,
            max_part_size=_MAX_FIELD_BYTES,
        )
        self.spool_max_size = limits.photo_bytes + 1
        self._limits = limits
        self._files = 0
        self._in_part = 0

    def on_part_begin(self) -> None:
        super().on_part_begin()
        self._in_part = 0

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        if self._current_part.file is not None:
            self._files += 1
            if self._files > self._limits.photos:
                raise ApiProblem(
                    422, "too_many_photos", f"at most {self._limits.photos} photos at once"
                )

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._in_part += end - start
        if self._current_part.file is not None and self._in_part > self._limits.photo_bytes:
            raise ApiProblem(
                413, "photo_too_large", f"a photo has at most {self._limits.photo_bytes} bytes"
            )
        super().on_part_data(data, start, end)


async def read_form(
    request: Request, schema: type[AnyForm], limits: FormLimits, *, lists: frozenset[str]
) -> AnyForm:
    """Read a multipart form into its schema.

    Args:
        request: its body is not yet read.
        schema: what the form holds; photos are bytes.
        limits: how much it may hold.
        lists: fields that may come several times.

    Raises:
        ApiProblem: ``unsupported_media_type``, ``malformed_form``, ``photo_too_large``,
            ``too_many_photos`` or ``invalid_request``.
    """
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "multipart/form-data":
        raise ApiProblem(415, "unsupported_media_type", "this takes multipart/form-data")
    parser = _PhotoParser(request.headers, _chunks(request), limits)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise ApiProblem(400, "malformed_form", error.message) from error
    values: dict[str, Any] = {}
    try:
        for name, value in form.multi_items():
            content = await value.read() if isinstance(value, UploadFile) else value
            if name in lists:
                values.setdefault(name, []).append(content)
            else:
                values[name] = content
    finally:
        await form.close()
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise invalid(error.errors(), place="body") from error


async def _chunks(request: Request) -> AsyncGenerator[bytes, None]:
    async for chunk in request.stream():
        yield chunk


def require_pictures(photos: Mapping[str, bytes]) -> None:
    """Refuse at once what no worker could read.

    Args:
        photos: by the name of their field.

    Raises:
        ApiProblem: ``empty`` or ``unsupported_format``.
    """
    for field, photo in photos.items():
        if not photo:
            raise _unreadable("empty", field, "the photo has no bytes")
        if media_type(photo) is None:
            raise _unreadable("unsupported_format", field, "the photo is no JPEG, PNG or WebP")


def _unreadable(code: str, field: str, message: str) -> ApiProblem:
    errors = [{"field": f"body.{field}", "message": message}]
    return ApiProblem(422, code, f"{field}: {message}", errors=errors)
