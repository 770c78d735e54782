"""Photos that a promotion has sent in, and that may still be on their way when it is undone."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sinks.postgres.pool import PostgresSink

# The same photo that is sent in after the undo is meant to be enrolled.
WITHDRAWN = """
SELECT event_uuid FROM unnest($1::uuid[], $2::timestamptz[]) AS sent (event_uuid, at)
WHERE EXISTS (
    SELECT FROM promoted_photos AS photo JOIN corrections AS undo ON undo.undoes = correction_id
    WHERE photo.event_uuid = sent.event_uuid AND undo.made_at >= sent.at)
"""


class PromotedPhotos(PostgresSink):
    """Reads which photos are not to be enrolled any more."""

    async def withdrawn_photos(self, sent: Sequence[tuple[UUID, datetime]]) -> frozenset[UUID]:
        """Those of these uploads that a promotion has sent in which was undone since.

        Args:
            sent: event UUID of each, and when it was sent.
        """
        if not sent:
            return frozenset()
        async with self._connection("look for undone promotions") as connection:
            rows = await connection.fetch(
                WITHDRAWN, [event for event, _ in sent], [at for _, at in sent]
            )
        return frozenset(row["event_uuid"] for row in rows)
