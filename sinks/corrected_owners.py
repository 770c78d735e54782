"""Has the vector database follow a correction."""

from typing import TYPE_CHECKING

from domain.events import MatchKind
from sinks.vector.deactivation import align_suspension
from sinks.vector.templates.template_owners import OwnedTemplate
from sinks.vector.vector_store import Vectors

if TYPE_CHECKING:
    from uuid import UUID

    from sinks.main.people.correction_work import HeldCorrection

_PHOTOS = {MatchKind.ENROLLED, MatchKind.REMOVED}


async def follow_correction(held: "HeldCorrection", vectors: Vectors) -> None:
    """Give templates and sightings to the users of the rows; harmless when it is so already.

    Args:
        held: the correction, whose users and faces are kept from being changed.
        vectors: the vector database.

    Raises:
        StoreUnavailable: a database is unavailable; do it again.
    """
    users = await held.users()
    owners = await held.owners()
    while owners:
        await vectors.place_templates(
            [
                OwnedTemplate(one.face_id, one.user_id, one.kind == MatchKind.REMOVED)
                for one in owners
                if one.kind in _PHOTOS and one.user_id is not None
            ]
        )
        seen: list[tuple[UUID, UUID | None]] = [
            (one.face_id, one.user_id) for one in owners if one.kind == MatchKind.FRAME
        ]
        await vectors.link_sightings(seen)
        owners = await held.owners(owners[-1].face_id)
    for user in users:
        await align_suspension(vectors, user.user_id, is_active=user.is_active)
