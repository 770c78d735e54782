"""Where users come into being, for the API and the command line alike.

Each with a line in the audit trail, in the same transaction.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from domain.names.email_addresses import normal_address, spellings
from domain.names.person_names import BadNameError, name_key, tidy_name
from domain.user_errors import (
    EmailTakenError,
    ExternalIdTakenError,
    OtherUserError,
    UnnamedUserError,
)
from domain.users.external_ids import tidy_external_id
from domain.users.user_labels import has_a_name
from domain.users.user_metadata import checked_metadata
from services.audit import record
from sinks.main.schema import User


async def make_user(  # noqa: PLR0913 - what a user has
    session: AsyncSession,
    actor: str,
    email: str | None,
    full_name: str | None,
    *,
    external_id: str | None = None,
    metadata: Mapping[str, object] | None = None,
) -> User:
    """Add a user to the session's transaction.

    Args:
        session: on the main database.
        actor: for the audit trail.
        email: names the user; None when there is none.
        full_name: None when it is not known.
        external_id: the application's id of the user, if it has one.
        metadata: the application's own keys (`domain.users.user_metadata`).

    Raises:
        EmailTakenError: there is one with this address.
        ExternalIdTakenError: there is one with this external id.
        UnnamedUserError: neither address, nor name, nor external id is given.
        BadAddressError: it is no address.
        BadNameError: it is no name.
        BadExternalIdError: it is no external id.
        BadMetadataError: it is too large, or has other values than it may.
    """
    user = User(
        email=None if email is None else normal_address(email),
        full_name=None if full_name is None else tidy_name(full_name),
        external_id=None if external_id is None else tidy_external_id(external_id),
        user_metadata=checked_metadata(metadata or {}),
    )
    session.add(user)
    await write(session, user)
    await session.refresh(user)
    record(session, actor, "user.create", f"user:{user.id}")
    return user


async def find_or_make_user(  # noqa: PLR0913 - the user and the actor
    session: AsyncSession,
    actor: str,
    email: str | None,
    full_name: str | None,
    *,
    external_id: str | None = None,
    former_emails: Sequence[str] = (),
    name_decides: bool = False,
) -> tuple[User, bool]:
    """The user with this external id, or address, however that is spelled.

    A name that is given replaces another. A deactivated user is left as it is.

    Args:
        session: on the main database.
        actor: for the audit trail.
        email: names the user, unless an external id does.
        full_name: None when it is not known.
        external_id: names the user; then the address is that of a user who is made now.
        former_emails: addresses under which the user may be stored instead.
        name_decides: the address was made from the name: a user of another name is another person.

    Returns:
        The user, and whether it was made now.

    Raises:
        EmailTakenError: there is another user with this address; without an external id, another
            client made it this moment: look again.
        ExternalIdTakenError: another client made the user this moment; look again.
        UnnamedUserError: neither an address nor an external id is given.
        BadAddressError: there is no such user, and it is no address.
        BadNameError: it is no name.
        BadExternalIdError: it is no external id.
        OtherUserError: the address is that of a user with another name.
    """
    name = None if full_name is None else tidy_name(full_name)
    if external_id is not None:
        user = await _with_external_id(session, tidy_external_id(external_id))
    elif email is not None:
        user = await _find(session, [*spellings(email), *former_emails])
    else:
        raise UnnamedUserError
    if user is None:
        return await make_user(session, actor, email, name, external_id=external_id), True
    if name is None or name == user.full_name or not user.is_active:
        return user, False
    if name_decides and user.full_name and _differ(user.full_name, name):
        raise OtherUserError(
            f"{user.email} is {user.full_name!r} and not {name!r}; "
            "use the person's e-mail address as the name"
        )
    user.full_name = name
    await write(session, user)
    await session.refresh(user)
    record(session, actor, "user.update", f"user:{user.id}", fields=["full_name"])
    return user, False


async def _with_external_id(session: AsyncSession, external_id: str) -> User | None:
    query = select(User).where(User.external_id == external_id).with_for_update()
    found: User | None = await session.scalar(query)
    return found


async def _find(session: AsyncSession, emails: Sequence[str]) -> User | None:
    """The user with the first of these addresses that is there, whatever its case."""
    wanted = [func.lower(email) for email in emails]
    found = await session.scalars(
        select(User).where(func.lower(User.email).in_(wanted)).with_for_update()
    )
    by_address = {user.email.lower(): user for user in found if user.email}
    return next((by_address[one.lower()] for one in emails if one.lower() in by_address), None)


def _differ(stored: str, name: str) -> bool:
    try:
        return name_key(stored) != name_key(name)
    except BadNameError:
        return stored != name


async def write(session: AsyncSession, user: User) -> None:
    """Flush, and raise an error when the address or external id is in use.

    Raises:
        EmailTakenError: there is one with this address.
        ExternalIdTakenError: there is one with this external id.
        UnnamedUserError: nothing is left that the user could be called by.
    """
    if not has_a_name(user):
        raise UnnamedUserError
    try:
        await session.flush()
    except IntegrityError as error:
        if "users_email_key" in str(error.orig):
            raise EmailTakenError from error
        if "users_external_id_key" in str(error.orig):
            raise ExternalIdTakenError from error
        raise
