"""Users' addresses, written as `domain.names.email_addresses.normal_address` has it.

Earlier releases stored them as they were sent. Users whose addresses are one by now are never
merged: they stay as they are, found by their own spelling, and are reported.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from config.settings import DatabaseSettings
from domain.names.email_addresses import BadAddressError, normal_address
from infra.database.migrate import Report
from sinks.main.schema import AuditEntry, User
from sinks.postgres.connect import Connector
from sinks.postgres.driver_errors import typed_failures
from sinks.store_errors import StoreUnavailable

#: Addresses of lower-case ASCII letters have the right form, except domains in their ASCII form.
_SUSPECT = text("email ~ '[^a-z0-9.@_+-]' OR email LIKE '%xn--%'")

_ACTOR = "cli:init-db"

#: Addresses in one statement, whose parameters Postgres limits.
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """What is to be done.

    Attributes:
        changes: the address that a user gets.
        same: groups of users who have one address, in two spellings or more.
        refused: users whose address would be refused today.
    """

    changes: dict[UUID, str]
    same: list[list[UUID]]
    refused: list[UUID]


def plan(suspect: Iterable[tuple[UUID, str]], others: Iterable[tuple[UUID, str]]) -> AddressPlan:
    """Decide how to write addresses. Pure.

    Args:
        suspect: users and their addresses, which may be written otherwise than they should be.
        others: users whose addresses are what one of those becomes.
    """
    wanted: dict[UUID, str] = {}
    refused: list[UUID] = []
    now = dict(suspect)
    for user_id, email in now.items():
        try:
            wanted[user_id] = normal_address(email)
        except BadAddressError:
            refused.append(user_id)
    groups: dict[str, set[UUID]] = defaultdict(set)
    for user_id, email in wanted.items():
        groups[email].add(user_id)
    for user_id, email in others:
        groups[email.lower()].add(user_id)
    changes = {
        user_id: email
        for user_id, email in wanted.items()
        if email != now[user_id] and len(groups[email]) == 1
    }
    same = [sorted(ids) for _, ids in sorted(groups.items()) if len(ids) > 1]
    return AddressPlan(changes, same, refused)


async def normalise_addresses(settings: DatabaseSettings, report: Report) -> None:
    """Write the addresses of the main database's users as they should be, where no other has it.

    Raises:
        StoreUnavailable: the database is unavailable.
    """
    store = f"main database {settings.safe_url}"
    engine = create_async_engine(
        settings.sqlalchemy_url,
        async_creator=Connector(settings, store, patient=True).open,
        poolclass=NullPool,
    )
    try:
        with typed_failures(store, "read addresses"):
            async with engine.connect() as connection:
                planned = await _planned(connection)
                changed = await _change(connection, planned)
    except DBAPIError as error:
        raise StoreUnavailable(store, "read addresses", str(error.orig)) from error
    finally:
        await engine.dispose()
    for line in lines(planned, changed):
        report(f"main database: {line}")


def lines(planned: AddressPlan, changed: int) -> list[str]:
    """What is reported: ids alone, for addresses are personal."""
    report = []
    if changed:
        report.append(f"addresses of users written in one way: {changed}")
    report += [
        f"the users {' and '.join(map(str, ids))} have one address in several spellings, and are "
        "left as they are; change or erase one of them"
        for ids in planned.same
    ]
    if planned.refused:
        report.append(
            "left as they are, for they would be refused today: the addresses of the users "
            + ", ".join(map(str, planned.refused))
        )
    return report


async def _planned(connection: AsyncConnection) -> AddressPlan:
    suspect = await _users(connection, select(User.id, User.email).where(_SUSPECT))
    wanted: set[str] = set()
    for _, email in suspect:
        with suppress(BadAddressError):
            wanted.add(normal_address(email))
    known = {user_id for user_id, _ in suspect}
    others: list[tuple[UUID, str]] = []
    for emails in batched(sorted(wanted)):
        query = select(User.id, User.email).where(func.lower(User.email).in_(emails))
        others += [one for one in await _users(connection, query) if one[0] not in known]
    planned = plan(suspect, others)
    await connection.rollback()
    return planned


def batched(emails: Sequence[str]) -> list[Sequence[str]]:
    """Parts that one statement takes."""
    return [emails[at : at + _AT_ONCE] for at in range(0, len(emails), _AT_ONCE)]


async def _users(
    connection: AsyncConnection, query: Select[UUID, str | None]
) -> Sequence[tuple[UUID, str]]:
    return [(row[0], row[1]) for row in await connection.execute(query) if row[1]]


async def _change(connection: AsyncConnection, planned: AddressPlan) -> int:
    changed = 0
    for user_id, email in planned.changes.items():
        try:
            async with connection.begin():
                done = await connection.execute(
                    update(User).where(User.id == user_id).values(email=email)
                )
                await connection.execute(
                    insert(AuditEntry).values(
                        actor=_ACTOR,
                        action="user.update",
                        target=f"user:{user_id}",
                        detail={"fields": ["email"]},
                    )
                )
        except IntegrityError:
            continue  # another has taken it this moment; the next run reports both
        changed += done.rowcount
    return changed
