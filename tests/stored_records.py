"""What tests write into the main database, and read from it, over the sink's public surface."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from domain.store_rows import EventKey, EventResult, LedgerRow, UserRow
from sinks.main.main_store import Records

_USER = """
INSERT INTO users (email, full_name) VALUES ($1, $2)
ON CONFLICT (lower(email)) DO UPDATE SET email = users.email RETURNING id
"""


async def commit_results(records: Records, results: Sequence[EventResult]) -> set[EventKey]:
    """Claim and write results, as a worker does; the keys of those that were written now."""
    async with records.claim(result.key for result in results) as claim:
        return set(await claim.commit(results))


async def settled_rows(
    records: Records, keys: Iterable[tuple[UUID, str]]
) -> dict[EventKey, LedgerRow]:
    """The ledger's rows of those results that are there."""
    asked = set(keys)
    rows = await records.uploads({event_uuid for event_uuid, _ in asked})
    found = {EventKey(row.event_uuid, row.model): row for row in rows}
    return {key: row for key, row in found.items() if key in asked}


async def ledger_row(records: Records, event_uuid: UUID, model: str) -> LedgerRow | None:
    """The ledger's row of one result."""
    return (await settled_rows(records, [(event_uuid, model)])).get(EventKey(event_uuid, model))


async def user_by_email(records: Records, email: str) -> UserRow | None:
    """The user with this address, whatever its case, if there is one."""
    async with records._connection("test") as connection:
        user_id = await connection.fetchval(
            "SELECT id FROM users WHERE lower(email) = lower($1)", email
        )
    return None if user_id is None else await records.user(user_id)


async def stored_user(records: Records, email: str, full_name: str | None = None) -> UserRow:
    """The user with this address; made without an entry in the audit trail unless there is one."""
    async with records._connection("test") as connection:
        user_id = await connection.fetchval(_USER, email, full_name)
    user = await records.user(user_id)
    assert user is not None
    return user
