"""Faces of cameras of which a person has said who they are, or who they are not."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from domain.decisions.corrections import CorrectionKind
from domain.events import MatchKind
from sinks.main.people.correction_schema import CorrectionRow
from sinks.main.schema import Face
from sinks.main.visit_schema import VisitFaceRow

_NAMED, _DENIED = CorrectionKind.IS_USER.value, CorrectionKind.NOT_USER.value


@dataclass(frozen=True, slots=True)
class LabelledSighting:
    """A face with an embedding of its own, and what a person has said of it.

    Attributes:
        face_id: the face.
        user_id: whose it is; None: it is not who it was taken for, and nothing else was said.
        stay: the same for faces that are one person's: those of a visit.
        camera_id: which has seen it.
        box: x, y, width, height in pixels.
        score: the detector's confidence, 0 to 1.
        quality: fitness for recognition, 0 to 1.
    """

    face_id: UUID
    user_id: UUID | None
    stay: UUID
    camera_id: str
    box: tuple[float, float, float, float]
    score: float
    quality: float


async def labelled_sightings(session: AsyncSession, model: str) -> Sequence[LabelledSighting]:
    """All that were embedded by a model, by face.

    What was corrected and undone is no label, nor is what a promotion has named: there the
    pipeline has decided which visits are one person's.

    Args:
        session: on the main database.
        model: id of the embedder.
    """
    query = (
        select(Face, VisitFaceRow.visit_id, CorrectionRow.kind)
        .join(CorrectionRow, CorrectionRow.id == Face.correction_id)
        .outerjoin(VisitFaceRow, VisitFaceRow.face_id == Face.id)
        .where(
            Face.kind == MatchKind.FRAME.value,
            Face.model == model,
            Face.best_face_id.is_(None),
            CorrectionRow.kind.in_((_NAMED, _DENIED)),
        )
        .order_by(Face.id)
    )
    return [
        LabelledSighting(
            face.id,
            face.user_id,
            visit_id or face.id,
            face.camera_id,
            (face.box[0], face.box[1], face.box[2], face.box[3]),
            face.score,
            face.quality,
        )
        for face, visit_id, kind in await session.execute(query)
        if (face.user_id is not None) == (kind == _NAMED)
    ]
