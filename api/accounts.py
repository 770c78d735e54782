"""Where users come into being, for the API and the command line alike.

Each with a line in the audit trail, in the same transaction.
"""

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from api.audit import record
from api.problems import ApiProblem
from sinks.schema import User


async def make_user(session: AsyncSession, actor: str, email: str, full_name: str | None) -> User:
    """Add a user to the session's transaction.

    Args:
        session: on the main database.
        actor: for the audit trail.
        email: names the user.
        full_name: None when it is not known.

    Raises:
        ApiProblem: ``email_taken``.
    """
    user = User(email=email, full_name=full_name)
    session.add(user)
    await write(session)
    await session.refresh(user)
    record(session, actor, "user.create", f"user:{user.id}")
    return user


async def find_or_make_user(
    session: AsyncSession, actor: str, email: str, full_name: str | None
) -> tuple[User, bool]:
    """The user with this address, whatever its case; a name that is given replaces another.

    Returns:
        The user, and whether it was made now.

    Raises:
        ApiProblem: ``email_taken``: somebody else made it this moment; look again.
    """
    email = email.strip()
    named = select(User).where(func.lower(User.email) == func.lower(email)).with_for_update()
    user = (await session.scalars(named)).first()
    if user is None:
        return await make_user(session, actor, email, full_name), True
    if full_name is not None and full_name != user.full_name:
        user.full_name = full_name
        await write(session)
        await session.refresh(user)
        record(session, actor, "user.update", f"user:{user.id}", fields=["full_name"])
    return user, False


async def write(session: AsyncSession) -> None:
    """Flush, and tell when the address is taken.

    Raises:
        ApiProblem: ``email_taken``.
    """
    try:
        await session.flush()
    except IntegrityError as error:
        if "users_email_key" in str(error.orig):
            raise ApiProblem(
                409, "email_taken", "there is a user with this e-mail address"
            ) from error
        raise
