"""Forms with photos; their limits are checked while they are read.

Nothing is decoded here. Format and pixels are read from each photo's header, so that a
decompression bomb is refused before anything is published.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from api.http.dependencies import Services
from api.http.problems import ApiProblem, invalid
from domain.images.image_errors import ImageRejected
from domain.images.image_headers import read_header

#: The bytes of a form without its photos: boundaries, part headers, short fields.
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
        form_bytes: at most so many bytes in all.
        seconds: how long it may take to arrive.
    """

    photos: int
    photo_bytes: int
    form_bytes: int
    seconds: float


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


@asynccontextmanager
async def taken_in(
    request: Request,
    services: Services,
    schema: type[AnyForm],
    limits: FormLimits,
    *,
    lists: frozenset[str] = frozenset(),
) -> AsyncIterator[AnyForm]:
    """Read a multipart form into its schema; its bytes have their room for the time of the context.

    Keep nothing of the form beyond the context: an answer may be long in coming.

    Args:
        request: its body is not yet read.
        services: of the process.
        schema: what the form holds; photos are bytes.
        limits: how much it may hold.
        lists: fields that may come several times.

    Raises:
        ApiProblem: ``too_busy``, ``too_slow``, ``unsupported_media_type``, ``malformed_form``,
            ``photo_too_large``, ``too_many_photos`` or ``invalid_request``.
    """
    async with services.intake.room(_announced(request, limits.form_bytes)):
        try:
            async with asyncio.timeout(limits.seconds):
                form = await _read(request, schema, limits, lists)
        except TimeoutError:
            raise ApiProblem(
                408,
                "too_slow",
                f"the photos did not arrive within {limits.seconds:g} s",
                headers={"Connection": "close"},
            ) from None
        yield form


def _announced(request: Request, most: int) -> int:
    """How many bytes a body will have; the most that it may have where it does not say."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else most


async def _read(
    request: Request, schema: type[AnyForm], limits: FormLimits, lists: frozenset[str]
) -> AnyForm:
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


def require_pictures(photos: Mapping[str, bytes], max_pixels: int) -> None:
    """Refuse photos at once that no worker would decode, according to their headers.

    Args:
        photos: by the name of their field.
        max_pixels: most pixels of a photo.

    Raises:
        ApiProblem: ``empty``, ``unsupported_format``, ``corrupt`` or ``too_many_pixels``.
    """
    for field, photo in photos.items():
        if not photo:
            raise _unreadable("empty", field, "the photo has no bytes")
        try:
            header = read_header(photo)
        except ImageRejected as error:
            raise _unreadable(error.reason, field, str(error)) from error
        if header.width * header.height > max_pixels:
            raise _unreadable(
                "too_many_pixels",
                field,
                f"the photo is {header.width}x{header.height} pixels, "
                f"{max_pixels} in all are allowed",
            )


def _unreadable(code: str, field: str, message: str) -> ApiProblem:
    errors = [{"field": f"body.{field}", "message": message}]
    return ApiProblem(422, code, f"{field}: {message}", errors=errors)
