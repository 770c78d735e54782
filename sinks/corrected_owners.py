"""Has the vector database follow a correction."""

import logging
from typing import TYPE_CHECKING

from msgspec import UNSET

from domain.events import PHOTO_KINDS, MatchKind, standing_decision
from sinks.cache.recent_matches import Recents
from sinks.store_errors import StoreUnavailable
from sinks.vector.deactivation import align_suspension
from sinks.vector.templates.template_owners import OwnedTemplate
from sinks.vector.vector_store import Vectors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sinks.main.people.correction_work import HeldCorrection, Owner

logger = logging.getLogger(__name__)


async def follow_correction(held: "HeldCorrection", vectors: Vectors, recents: Recents) -> None:
    """Give templates and sightings to the users of the rows; harmless when it is so already.

    Args:
        held: the correction, whose users and faces are kept from being changed.
        vectors: the vector database.
        recents: the latest matches say the same; without the cache they are left as they are.

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
                if one.kind in PHOTO_KINDS and one.user_id is not None
            ]
        )
        seen: list[tuple[UUID, UUID | None]] = [
            (one.face_id, one.user_id) for one in owners if one.kind == MatchKind.FRAME
        ]
        await vectors.link_sightings(seen)
        await _relabel(recents, [one for one in owners if one.kind == MatchKind.FRAME])
        owners = await held.owners(owners[-1].face_id)
    for user in users:
        await align_suspension(vectors, user.user_id, is_active=user.is_active)


async def _relabel(recents: Recents, faces: "Sequence[Owner]") -> None:
    labels = {
        one.face_id: {
            "user_id": one.user_id,
            "similarity": one.similarity,
            "runner_up_similarity": one.runner_up_similarity,
            "decision": standing_decision(one.decision, one.user_id),
            "candidate_id": one.candidate_id,
            "correction_id": one.correction_id or UNSET,
        }
        for one in faces
    }
    if not labels:
        return
    try:
        await recents.relabel_matches({one.camera_id for one in faces}, labels)
    except StoreUnavailable as error:
        logger.warning("the latest matches keep their labels: %s", error)
