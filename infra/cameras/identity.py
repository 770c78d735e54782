"""Names of cameras, frames and runs, as the event contract has them."""

import hashlib
import secrets
import unicodedata
from datetime import UTC, datetime
from urllib.parse import quote
from uuid import uuid5

from domain.events import NAMESPACE
from streams.contract.envelope import MAX_IDENTIFIER_BYTES

_SOURCE_PREFIX = "camera/"


class BadCameraError(ValueError):
    """The camera's id cannot be carried by an event."""


def check_camera(camera: str) -> str:
    """Return the camera's id if an event can carry it as key and as part of ``ce_source``.

    Raises:
        BadCameraError: it is empty, too long, or holds characters that the pipeline refuses.
    """
    if not camera:
        raise BadCameraError("the camera's id is empty")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in camera):
        raise BadCameraError("the camera's id holds control characters")
    if len(camera_source(camera)) > MAX_IDENTIFIER_BYTES:
        raise BadCameraError(
            f"the camera's id is too long: as a URI it may take {MAX_IDENTIFIER_BYTES} characters"
        )
    return camera


def camera_source(camera: str) -> str:
    """``ce_source`` of a camera: a URI-reference, so other characters are percent-encoded.

    Slashes stay, so that ``site/door-1`` reads well; RFC 3986, section 3.3 (path).
    """
    return _SOURCE_PREFIX + quote(camera, safe="/:@!$&'()*+,;=-._~")


def content_id(camera: str, data: bytes) -> str:
    """Event id of a picture file: the same camera and bytes give the same event again."""
    return str(uuid5(NAMESPACE, f"{camera}|{hashlib.sha256(data).hexdigest()}"))


def new_run_id() -> str:
    """Name of one run of a publisher: its start to the second, and chance."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def frame_id(run: str, number: int) -> str:
    """Event id of the number-th frame (from 0) of a run."""
    return f"{run}-{number:08d}"
