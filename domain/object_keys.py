"""Keys of objects: those that we derive from producers' names, and those that producers choose."""

import re
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

#: Longest camera part of a key; a key may have 1024 bytes in all.
_MAX_CAMERA_CHARS = 120
_KEPT_OF_LONG_CAMERA = 60

_UNSAFE_BYTE = re.compile(rb"[^A-Za-z0-9_.\-]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_MAX_KEY_BYTES = 1024
_DATAREF = re.compile(r"s3://([a-z0-9][a-z0-9.\-]{1,61}[a-z0-9])/(.+)", re.DOTALL)

#: The folder of crops.
CROPS = "crops/"

#: The folder of snapshots: whole frames that are kept for visits.
SNAPSHOTS = "snapshots/"

#: The folder of frames that came by claim check.
FRAMES = "frames/"

#: The folder of photos that came by claim check.
UPLOADS = "uploads/"


def crop_key(camera: str, captured_at: datetime, face_id: UUID) -> str:
    """S3 key of a crop: ``crops/{camera or upload}/{yyyy}/{mm}/{dd}/{face_id}.jpg``, day in UTC.

    Whatever a camera calls itself, it stays inside its own folder; two cameras never share one.

    Args:
        camera: Kafka key of the frame or upload.
        captured_at: when the picture was taken, with time zone.
        face_id: the face.
    """
    return f"{CROPS}{_day_folder(camera, captured_at)}/{face_id}.jpg"


def snapshot_key(camera: str, captured_at: datetime, event_uuid: UUID) -> str:
    """S3 key of a snapshot: ``snapshots/{camera}/{yyyy}/{mm}/{dd}/{event_uuid}.jpg``.

    Args:
        camera: Kafka key of the frame.
        captured_at: when the picture was taken, with time zone.
        event_uuid: the frame.
    """
    return f"{SNAPSHOTS}{_day_folder(camera, captured_at)}/{event_uuid}.jpg"


def name_of_picture(key: str) -> UUID | None:
    """The face that a crop shows, or the frame of a snapshot.

    None where a key is not one that `crop_key` or `snapshot_key` makes.
    """
    name, dot, suffix = key.rpartition("/")[2].rpartition(".")
    if not dot or suffix != "jpg":
        return None
    try:
        found = UUID(name)
    except ValueError:
        return None
    return found if str(found) == name else None


def is_plain_key(key: str) -> bool:
    """Whether a key that a producer chose can only mean this object of this bucket.

    Clients and servers take ``..`` out of a path before they look at it, which would lead into
    other buckets; no honest key has such parts, nor control characters.
    """
    if len(key.encode(errors="replace")) > _MAX_KEY_BYTES or _CONTROL.search(key):
        return False
    return not any(part in {".", ".."} for part in re.split(r"[/\\]", key))


def split_dataref(dataref: str) -> tuple[str, str] | None:
    """Bucket and key that a claim check (``s3://bucket/key``) names; None where it names none."""
    named = _DATAREF.fullmatch(dataref)
    if named is None or not is_plain_key(named[2]):
        return None
    return named[1], named[2]


def uploaded_key(dataref: str | None, bucket: str) -> str | None:
    """Key of an upload's image, if it is in this bucket below `UPLOADS`.

    We must not delete other objects: a producer of photos may name any object.
    """
    named = split_dataref(dataref) if dataref else None
    if named is None or named[0] != bucket or not named[1].startswith(UPLOADS):
        return None
    return named[1]


def _day_folder(camera: str, captured_at: datetime) -> str:
    """The folder of a camera, and in it that of a day in UTC."""
    try:
        day = captured_at.astimezone(UTC)
    except OverflowError:  # the first or last day that there is, in another time zone
        day = captured_at
    return f"{_folder(camera)}/{day.year:04d}/{day.month:02d}/{day.day:02d}"


def _folder(camera: str) -> str:
    """A camera's id as one path segment that cannot be ``.`` or ``..``, and is never empty.

    Letters, digits, ``_``, ``-`` and inner dots stay. Other bytes become ``=XX`` (not ``%XX``,
    which a proxy on the way may decode); too long a name is cut and a hash of the whole added
    after ``==``, which no escaped name contains.
    """
    raw = camera.encode(errors="surrogatepass")
    escaped = _UNSAFE_BYTE.sub(_escape, raw).decode("ascii")
    if escaped.startswith("."):
        escaped = "=2E" + escaped[1:]
    if escaped and len(escaped) <= _MAX_CAMERA_CHARS:
        return escaped
    kept = re.sub(r"=.?$", "", escaped[:_KEPT_OF_LONG_CAMERA])
    return f"{kept}=={sha256(raw).hexdigest()[:32]}"


def _escape(byte: re.Match[bytes]) -> bytes:
    return f"={byte[0][0]:02X}".encode()
