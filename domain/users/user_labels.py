"""How a user is called where there is room for one name."""

from typing import Protocol
from uuid import UUID


class Named(Protocol):
    """What a row of a user has."""

    @property
    def id(self) -> UUID: ...  # noqa: D102

    @property
    def email(self) -> str | None: ...  # noqa: D102

    @property
    def full_name(self) -> str | None: ...  # noqa: D102

    @property
    def external_id(self) -> str | None: ...  # noqa: D102


def user_label(user: Named) -> str:
    """The name; without one the address, the external id, or at last the id."""
    return user.full_name or user.email or user.external_id or str(user.id)


def has_a_name(user: Named) -> bool:
    """Whether people or programs can tell the user from others, other than by the id."""
    return bool(user.full_name or user.email or user.external_id)
