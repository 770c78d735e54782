"""Where users come into being, for the API and the command line alike.

Each with a line in the audit trail, in the same transaction.
"""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from domain.names.email_addresses import normal_address, spellings
from domain.names.person_names import BadNameError, name_key, tidy_name
from domain.user_errors import EmailTakenError, OtherUserError
from services.audit import record
from sinks.main.schema import User


async def make_user(session: AsyncSession, actor: str, email: str, full_name: str | None) -> User:
    """Add a user to the session's transaction.

    Args:
        session: on the main database.
        actor: for the audit trail.
        email: names the user.
        full_name: None when it is not known.

    Raises:
        EmailTakenError: there is one with this address.
        BadAddressError: it is no address.
        BadNameError: it is no name.
    """
    user = User(
        email=normal_address(email),
        full_name=None if full_name is None else tidy_name(full_name),
    )
    session.add(user)
    await write(session)
    await session.refresh(user)
    record(session, actor, "user.create", f"user:{user.id}")
    return user


async def find_or_make_user(  # noqa: PLR0913 - the user and the actor
    session: AsyncSession,
    actor: str,
    email: str,
    full_name: str | None,
    *,
    former_emails: Sequence[str] = (),
    name_decides: bool = False,
) -> tuple[User, bool]:
    """The user with this address, however it is spelled; a name that is given replaces another.

    A deactivated user is left as it is.

    Args:
        session: on the main database.
        actor: for the audit trail.
        email: names the user.
        full_name: None when it is not known.
        former_emails: addresses under which the user may be stored instead.
        name_decides: the address was made from the name: a user of another name is another person.

    Returns:
        The user, and whether it was made now.

    Raises:
        EmailTakenError: another client made it this moment; look again.
        BadAddressError: there is no such user, and it is no address.
        BadNameError: it is no name.
        OtherUserError: the address is that of a user with another name.
    """
    name = None if full_name is None else tidy_name(full_name)
    user = await _find(session, [*spellings(email), *former_emails])
    if user is None:
        return await make_user(session, actor, email, name), True
    if name is None or name == user.full_name or not user.is_active:
        return user, False
    if name_decides and user.full_name and _differ(user.full_name, name):
        raise OtherUserError(
            f"{user.email} is {user.full_name!r} and not {name!r}; "
            "use the person's e-mail address as the name"
        )
    user.full_name = name
    await write(session)
    await session.refresh(user)
    record(session, actor, "user.update", f"user:{user.id}", fields=["full_name"])
    return user, False


async def _find(session: AsyncSession, emails: Sequence[str]) -> User | None:
    """The user with the first of these addresses that is there, whatever its case."""
    wanted = [func.lower(email) for email in emails]
    found = await session.scalars(
        select(User).where(func.lower(User.email).in_(wanted)).with_for_update()
    )
    by_address = {user.email.lower(): user for user in found}
    return next((by_address[one.lower()] for one in emails if one.lower() in by_address), None)


def _differ(stored: str, name: str) -> bool:
    try:
        return name_key(stored) != name_key(name)
    except BadNameError:
        return stored != name


async def write(session: AsyncSession) -> None:
    """Flush, and raise an error when the address is in use.

    Raises:
        EmailTakenError: there is one with this address.
    """
    try:
        await session.flush()
    except IntegrityError as error:
        if "users_email_key" in str(error.orig):
            raise EmailTakenError from error
        raise
