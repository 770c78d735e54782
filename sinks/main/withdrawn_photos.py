"""Photos that people have withdrawn since they were sent in, but that workers may get afterwards.

They may be on their way, or come a second time: from a worker that ended before it committed the
offset, or because an operator reads the topic again.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from domain.events import Refusal
from domain.upload_events import PHOTO_REMOVED, PROMOTION_UNDONE
from sinks.postgres.pool import PostgresSink

# The same photo that is sent in afterwards is meant to be enrolled.
WITHDRAWN = """
SELECT sent.event_uuid, EXISTS (
    SELECT FROM promoted_photos AS photo JOIN corrections AS undo ON undo.undoes = correction_id
    WHERE photo.event_uuid = sent.event_uuid AND undo.made_at >= sent.at) AS is_undone, EXISTS (
    SELECT FROM faces JOIN corrections AS removal ON removal.id = correction_id
    WHERE faces.event_uuid = sent.event_uuid AND faces.kind = 'removed'
      AND removal.made_at >= sent.at) AS is_removed
FROM unnest($1::uuid[], $2::timestamptz[]) AS sent (event_uuid, at)
"""


class WithdrawnPhotos(PostgresSink):
    """Reads which photos are not to be enrolled any more."""

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
                WITHDRAWN, [event for event, _ in sent], [at for _, at in sent]
            )
        return {
            row["event_uuid"]: PROMOTION_UNDONE if row["is_undone"] else PHOTO_REMOVED
            for row in rows
            if row["is_undone"] or row["is_removed"]
        }
