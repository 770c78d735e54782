"""Finds the user that a command names."""

from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from domain.names.email_addresses import spellings
from domain.user_errors import NoSuchUserError
from domain.users.external_ids import BadExternalIdError, tidy_external_id
from sinks.main.schema import User


async def find_user(session: AsyncSession, named: str) -> User:
    """The user with this id, address or external id; an address counts however it is spelled.

    Args:
        session: on the main database.
        named: one of the three. An id comes first: it names one user for ever.

    Raises:
        NoSuchUserError: there is none, or it is the address of one user and the external id of
            another.
    """
    user = await _by_id(session, named)
    if user is not None:
        return user
    emails = spellings(named)
    conditions: list[ColumnElement[bool]] = [
        func.lower(User.email).in_([func.lower(email) for email in emails])
    ]
    external_id = _external_id(named)
    if external_id is not None:
        conditions.append(User.external_id == external_id)
    found = list(await session.scalars(select(User).where(or_(*conditions))))
    # Of one address in two spellings, which older releases allowed, the one as written counts.
    by_email = {one.email.lower(): one for one in found if one.email}
    matches = [by_email[one.lower()] for one in emails if one.lower() in by_email][:1]
    if external_id is not None:
        matches += [one for one in found if one.external_id == external_id]
    users = {one.id: one for one in matches}
    if not users:
        raise NoSuchUserError(f"there is no user {named}")
    if len(users) > 1:
        ids = " and ".join(sorted(map(str, users)))
        raise NoSuchUserError(f"{named} names several users, use an id: {ids}")
    return next(iter(users.values()))


async def _by_id(session: AsyncSession, named: str) -> User | None:
    try:
        user: User | None = await session.get(User, UUID(named))
    except ValueError:
        return None
    return user


def _external_id(named: str) -> str | None:
    try:
        return tidy_external_id(named)
    except BadExternalIdError:
        return None
