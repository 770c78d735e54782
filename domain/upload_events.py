"""Uploads as events: what an application publishes to enrol a user or to search by photo."""

import hashlib
from uuid import UUID, uuid4, uuid5

from domain import events
from domain.events import NAMESPACE, EventKind, ImageEvent, Refusal, utc_now

SOURCE = "fecapass/uploads"

#: ``ce_subject`` of a search by which sightings will be looked for. Workers of earlier releases
#: ignore it.
_SIGHTINGS = "sightings"

#: The one answer to photos of a user whom no camera may recognise, whichever way they came.
USER_INACTIVE = Refusal(
    code="user_inactive", message="this user is deactivated; activate the user first"
)

#: To photos that a promotion had sent in before it was undone.
PROMOTION_UNDONE = Refusal(
    code="promotion_undone",
    message="the promotion that sent this photo was undone; enrol the photo if it is right",
)


#: To photos that were taken out of the user's photos after they were sent in.
PHOTO_REMOVED = Refusal(
    code="photo_removed",
    message="this photo was taken out of the user's photos; send it again if it is right",
)


def enrol_event(user_id: UUID, photo: bytes, *, force: bool = False) -> ImageEvent:
    """Enrol the person in this photo as this user.

    The same user and photo give the same event, so enrolling twice changes nothing; a photo that
    was refused is decided again with ``force``.

    Args:
        user_id: the person's id in the main database.
        photo: JPEG, PNG or WebP bytes.
        force: enrol it though it resembles another user, or not the user's own photos.
    """
    digest = hashlib.sha256(photo).hexdigest()
    upload_id = str(uuid5(NAMESPACE, f"enrol|{user_id}|{digest}"))
    return _event(EventKind.ENROL, upload_id, str(user_id), force=force)


def search_event(*, for_sightings: bool = False) -> ImageEvent:
    """Ask who is in a photo. Every search is a new event, because the gallery changes.

    Args:
        for_sightings: the faces are also looked for among the sightings: their embeddings are kept
            in Redis for some minutes.
    """
    return _event(EventKind.SEARCH, str(uuid4()), _SIGHTINGS if for_sightings else None)


def is_for_sightings(event: ImageEvent) -> bool:
    """Whether the embeddings of a search are kept for some minutes."""
    return event.kind is EventKind.SEARCH and event.subject == _SIGHTINGS


def event_uuid(upload_id: str) -> UUID:
    """What the ledger calls an upload that was made here."""
    return events.event_uuid(SOURCE, upload_id)


def _event(
    kind: EventKind, upload_id: str, subject: str | None, *, force: bool = False
) -> ImageEvent:
    return ImageEvent(
        kind=kind,
        source=SOURCE,
        id=upload_id,
        key=upload_id,
        captured_at=utc_now(),
        subject=subject,
        force=force,
    )
