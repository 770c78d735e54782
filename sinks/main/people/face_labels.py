"""What is said of faces: as it was before a correction, and written; vetoes that stand again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from domain.decisions.corrections import FaceLabel, restored
from sinks.main.people import correction_statements as sql

if TYPE_CHECKING:
    import asyncpg

    from sinks.postgres.checked_connection import Session

_LABEL_FIELDS = tuple(FaceLabel.__dataclass_fields__)


def label_of(row: "asyncpg.Record") -> FaceLabel:
    """A row of `correction_statements.FACE` as its type."""
    return FaceLabel(**{name: row[name] for name in _LABEL_FIELDS})


async def labels_before(
    connection: "Session", undone_id: UUID, left: Mapping[UUID, UUID]
) -> list[FaceLabel]:
    """What an undo makes of the faces of a correction of which no later one stands.

    Args:
        connection: in a transaction, which holds the faces from now on.
        undone_id: the correction.
        left: by user who was merged the one who is left.
    """
    rows = await connection.fetch(sql.FACES_OF_CORRECTION, undone_id)
    return [
        label
        for row in rows
        if (label := restored(_label_before(row, left), _standing(row, undone_id), undone_id))
        is not None
    ]


async def label_faces(
    connection: "Session", correction_id: UUID, labels: Sequence[FaceLabel]
) -> None:
    """Write what a correction says of faces, and keep what was said of them before."""
    face_ids = [one.face_id for one in labels]
    await connection.execute(sql.KEEP_FACES, correction_id, face_ids)
    await connection.execute(
        sql.LABEL_FACES,
        correction_id,
        face_ids,
        [one.user_id for one in labels],
        [one.similarity for one in labels],
        [one.runner_up_similarity for one in labels],
        [one.decision for one in labels],
    )


async def restore_vetoes(connection: "Session", undone_id: UUID) -> None:
    """Have the vetoes of a correction stand no more, and those that it has withdrawn, again.

    So do their copies for users that the ones of these vetoes were merged into.
    """
    deleted = await connection.fetch(sql.DELETE_VETOES, undone_id)
    restored_now = await connection.fetch(sql.RESTORE_VETOES, undone_id)
    for statement, changed in (
        (sql.DELETE_COPIED_VETOES, deleted),
        (sql.COPY_VETOES, restored_now),
    ):
        faces = {row["face_id"] for row in changed}
        while faces:  # each turn follows one merge of a chain
            faces = {row["face_id"] for row in await connection.fetch(statement, list(faces))}


def _standing(row: "asyncpg.Record", correction_id: UUID) -> FaceLabel:
    """The face, by the last correction that was not undone if that is this one."""
    label = label_of(row)
    return replace(label, correction_id=correction_id) if row["stands"] else label


def _label_before(row: "asyncpg.Record", left: Mapping[UUID, UUID]) -> FaceLabel:
    """The face before; where its user was merged since, it is the one who is left."""
    user = row["before_user_id"]
    return FaceLabel(
        face_id=row["face_id"],
        embedded_as=row["embedded_as"],
        user_id=left.get(user, user),
        similarity=row["before_similarity"],
        runner_up_similarity=row["before_runner_up_similarity"],
        decision=row["before_decision"],
    )
