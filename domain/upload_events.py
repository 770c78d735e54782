"""Uploads as events: what an application publishes to enrol a user or to search by photo."""

import hashlib
from uuid import UUID, uuid4, uuid5

from domain import events
from domain.events import NAMESPACE, EventKind, ImageEvent, Refusal, utc_now

SOURCE = "fecapass/uploads"

#: The one answer to photos of a user whom no camera may recognise, whichever way they came.
USER_INACTIVE = Refusal(
    code="user_inactive", message="this user is deactivated; activate the user first"
)


def enrol_event(user_id: UUID, photo: bytes) -> ImageEvent:
    """Enrol the person in this photo as this user.

    The same user and photo give the same event, so enrolling twice changes nothing.

    Args:
        user_id: the person's id in the main database.
        photo: JPEG, PNG or WebP bytes.
    """
    digest = hashlib.sha256(photo).hexdigest()
    upload_id = str(uuid5(NAMESPACE, f"enrol|{user_id}|{digest}"))
    return _event(EventKind.ENROL, upload_id, str(user_id))


def search_event() -> ImageEvent:
    """Ask who is in a photo. Every search is a new event, because the gallery changes."""
    return _event(EventKind.SEARCH, str(uuid4()), None)


def event_uuid(upload_id: str) -> UUID:
    """What the ledger calls an upload that was made here."""
    return events.event_uuid(SOURCE, upload_id)


def _event(kind: EventKind, upload_id: str, subject: str | None) -> ImageEvent:
    return ImageEvent(
        kind=kind,
        source=SOURCE,
        id=upload_id,
        key=upload_id,
        captured_at=utc_now(),
        subject=subject,
    )
