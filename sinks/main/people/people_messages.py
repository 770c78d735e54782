"""Messages of ``people.changes``: noted with the change, read in order, deleted when they are sent.

A change is noted in the transaction that makes it: with `note_changes`, or in a session of
SQLAlchemy with `PeopleMessageRow.of`. So a crash loses none, and announces none that was not made.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from config.settings import DatabaseSettings
from domain.people.people_changes import PeopleChange
from sinks.postgres.keepalive import Heartbeat
from sinks.postgres.pool import PostgresSink

if TYPE_CHECKING:
    from sinks.postgres.checked_connection import Session

#: One sender at a time keeps the messages in order; any constant would do.
_LOCK = 0x66656361_70656F70

# The order of `id` is that in which changes were noted. Of two changes with one name the first
# counts.
NOTE = """
INSERT INTO people_messages (change_id, users, body)
SELECT (body->>'change_id')::uuid,
       ARRAY(SELECT one FROM unnest(ARRAY[(body->>'user_id')::uuid,
                                          (body->>'other_user_id')::uuid]) AS one
             WHERE one IS NOT NULL ORDER BY one),
       body
FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS change (body, place)
ORDER BY place
ON CONFLICT (change_id) DO NOTHING
"""

TRY_LOCK = "SELECT pg_try_advisory_xact_lock($1)"

UNSENT = "SELECT change_id, body::text AS body FROM people_messages ORDER BY id LIMIT $1 FOR UPDATE"

SENT = "DELETE FROM people_messages WHERE change_id = ANY($1::uuid[])"

FORGET_USER = "DELETE FROM people_messages WHERE $1::uuid = ANY(users) RETURNING 1"

COUNT_OF_USER = "SELECT count(*) FROM people_messages WHERE $1::uuid = ANY(users)"

#: Where the table names users or faces, and what an erasure does about it.
ERASED_PLACES = {
    "people_messages.users": "the message is deleted",
    "people_messages.body": "the message is deleted",
}

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(PeopleChange).decode


async def note_changes(connection: "Session", changes: Sequence[PeopleChange]) -> None:
    """Note changes in the connection's transaction, to be announced once it is committed."""
    if changes:
        await connection.execute(NOTE, _encode(changes).decode())


async def forget_messages(connection: "Session", user_id: UUID) -> int:
    """Delete the messages that name a user who is erased; returns how many there were."""
    return len(await connection.fetch(FORGET_USER, user_id))


class PeopleMessages(PostgresSink):
    """Reads the messages that are to be sent. Raises the errors of `sinks.store_errors`."""

    def __init__(self, settings: DatabaseSettings) -> None:
        """Take the settings of the main database; one connection is enough."""
        super().__init__(settings.model_copy(update={"pool_min": 0, "pool_max": 1}), "main")

    @asynccontextmanager
    async def unsent(self, limit: int) -> AsyncIterator[Sequence[PeopleChange]]:
        """The oldest messages, in their order, which are deleted when the block ends without error.

        None, if another process sends at this time: so they are sent in order. An erasure waits
        until the block ends.

        Args:
            limit: at most so many.

        Raises:
            StoreUnavailable: the database is unavailable; some may be sent again.
        """
        operation = "send changes of people"
        async with self._connection(operation) as connection, connection.transaction():
            changes: list[PeopleChange] = []
            if await connection.fetchval(TRY_LOCK, _LOCK):
                rows = await connection.fetch(UNSENT, limit)
                changes = [_decode(row["body"]) for row in rows]
            async with Heartbeat(connection, self._settings.idle_transaction_timeout):
                yield changes
            if changes:
                await connection.execute(SENT, [one.change_id for one in changes])
