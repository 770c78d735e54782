"""Whether a person is there, by all faces of a visit."""

from collections.abc import Mapping
from uuid import UUID

import msgspec
from msgspec import structs

from domain.decisions.liveness import (
    LEAST_CHECKED,
    CheckedFace,
    Stillness,
    best_checked,
    is_spoof,
    of_presence,
    stillness_after,
)
from domain.liveness_result import Liveness, LivenessStatus
from domain.store_rows import Embedding
from domain.visit_events import VisitFace


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """What the faces of a stay say about it, since the person came or came back.

    Attributes:
        checked: the best faces about which a model was asked.
        present: whether any face has a result, if only that no model ran.
        rejected: whether the picture of a face was of no use to the model.
        still: how exactly the faces follow each other; None before the first embedding.
    """

    checked: tuple[CheckedFace, ...] = ()
    present: bool = False
    rejected: bool = False
    still: Stillness | None = None

    @property
    def result(self) -> Liveness | None:
        """What is known; None where liveness is not checked."""
        return of_presence(
            self.checked,
            rejected=self.rejected,
            present=self.present,
            still=self.still is not None and self.still.found,
        )

    @property
    def is_live(self) -> bool:
        """Whether a model took enough faces for a person's, and nothing speaks against it."""
        result = self.result
        is_enough = len(self.checked) >= LEAST_CHECKED
        return is_enough and result is not None and result.status == LivenessStatus.LIVE

    @property
    def is_spoof(self) -> bool:
        """Whether it is taken for a picture of a person."""
        return is_spoof(self.result)


#: Of a stay whose faces have no result.
NOTHING_KNOWN = Presence()


def with_result(
    presence: Presence, face: VisitFace, embeddings: Mapping[UUID, Embedding]
) -> Presence:
    """The presence with one face more, which is not earlier than those before.

    Args:
        presence: before.
        face: the face; without a result it changes nothing.
        embeddings: of this face, and of the last one that has an embedding.
    """
    result = face.liveness
    if result is None:
        return presence
    checked = CheckedFace(face.quality, face.face_id, result)
    return structs.replace(
        presence,
        checked=best_checked([*presence.checked, checked]),
        present=True,
        rejected=presence.rejected or result.status == LivenessStatus.INPUT_REJECTED,
        still=_still(presence.still, face, embeddings),
    )


def without_faces(presence: Presence, gone: set[UUID]) -> Presence:
    """The presence without the results of faces that belong to another stay."""
    left = tuple(one for one in presence.checked if one.face_id not in gone)
    return structs.replace(presence, checked=left)


def together(earlier: Presence, later: Presence) -> Presence:
    """The presence of two stays that are one; ``later`` has the last face."""
    one, other = earlier.still, later.still
    still = other or one
    if one is not None and still is not None and one.found:
        still = structs.replace(still, found=True)
    return Presence(
        checked=best_checked([*earlier.checked, *later.checked]),
        present=earlier.present or later.present,
        rejected=earlier.rejected or later.rejected,
        still=still,
    )


def _still(
    before: Stillness | None, face: VisitFace, embeddings: Mapping[UUID, Embedding]
) -> Stillness | None:
    own = embeddings.get(face.face_id)
    if face.landmarks is None or not face.fresh or own is None:
        return before
    other = None if before is None else embeddings.get(before.face_id)
    # Embeddings of different models are not compared; those of most differ in length.
    comparable = None if other is None or other.shape != own.shape else other
    similarity = None if comparable is None else float(own @ comparable)
    return stillness_after(before, face.face_id, face.landmarks, face.at, similarity)
