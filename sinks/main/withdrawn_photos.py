"""Photos that people have withdrawn since they were sent in, but that workers may get afterwards.

They may be on their way, or come a second time: from a worker that ended before it committed the
offset, or because an operator reads the topic again. Of one that was deleted or taken out the
ledger says so, as of a refusal; sent in afterwards, it is enrolled.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from domain.events import Refusal
from domain.upload_events import PHOTO_REMOVED, PROMOTION_UNDONE
from sinks.postgres.pool import PostgresSink

if TYPE_CHECKING:
    from sinks.postgres.checked_connection import Session

WITHDRAWN = """
SELECT sent.event_uuid, EXISTS (
    SELECT FROM promoted_photos AS photo JOIN corrections AS undo ON undo.undoes = correction_id
    WHERE photo.event_uuid = sent.event_uuid AND undo.made_at >= sent.at) AS is_undone, EXISTS (
    SELECT FROM events
    WHERE events.event_uuid = sent.event_uuid AND outcome = 'refused'
      AND answer->>'code' = $3 AND processed_at >= sent.at) AS is_removed
FROM unnest($1::uuid[], $2::timestamptz[]) AS sent (event_uuid, at)
"""

WITHDRAW = """
UPDATE events
SET outcome = 'refused', processed_at = now(),
    answer = jsonb_build_object('upload_id', id, 'status', 'refused', 'model', model,
                                'code', $2::text, 'message', $3::text)
WHERE event_uuid = ANY($1::uuid[]) AND outcome = 'enrolled'
"""

TAKE_BACK = """
DELETE FROM events
WHERE event_uuid = ANY($1::uuid[]) AND kind = 'enrol' AND answer->>'code' = $2
"""


async def withdraw(connection: "Session", event_uuids: Collection[UUID]) -> None:
    """Have the ledger say that photos were taken out; their faces are the caller's affair."""
    await connection.execute(WITHDRAW, list(event_uuids), PHOTO_REMOVED.code, PHOTO_REMOVED.message)


async def take_withdrawal_back(connection: "Session", event_uuids: Collection[UUID]) -> None:
    """Have the ledger forget that photos were taken out."""
    await connection.execute(TAKE_BACK, list(event_uuids), PHOTO_REMOVED.code)


class WithdrawnPhotos(PostgresSink):
    """Notes and reads which photos are not to be enrolled any more."""

    async def withdraw_photo(self, event_uuid: UUID) -> None:
        """Note that a photo is deleted; doing it again is harmless."""
        async with self._connection("withdraw a photo") as connection:
            await withdraw(connection, [event_uuid])

    async def withdrawn_photos(self, sent: Sequence[tuple[UUID, datetime]]) -> dict[UUID, Refusal]:
        """Those of these uploads that were withdrawn since, with the reason.

        A promotion that sent them in was undone, or they were taken out of the user's photos.

        Args:
            sent: event UUID of each, and when it was sent.
        """
        if not sent:
            return {}
        async with self._connection("look for withdrawn photos") as connection:
            rows = await connection.fetch(
                WITHDRAWN,
                [event for event, _ in sent],
                [at for _, at in sent],
                PHOTO_REMOVED.code,
            )
        return {
            row["event_uuid"]: PROMOTION_UNDONE if row["is_undone"] else PHOTO_REMOVED
            for row in rows
            if row["is_undone"] or row["is_removed"]
        }
