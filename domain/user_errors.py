"""Errors in requests about users and unknowns, from the API or the command line."""

from uuid import UUID


class EmailTakenError(Exception):
    """There is a user with this e-mail address."""

    def __init__(self) -> None:
        super().__init__("there is a user with this e-mail address")


class ExternalIdTakenError(Exception):
    """There is a user with this external id."""

    def __init__(self) -> None:
        super().__init__("there is a user with this external id")


class UnnamedUserError(Exception):
    """A user would have neither a name, nor an e-mail address, nor an external id."""

    def __init__(self) -> None:
        super().__init__("a user needs a full_name, an email or an external_id")


class NoSuchUserError(Exception):
    """No user is named so, or several are; the message is for people."""


class OtherUserError(Exception):
    """An address that was made from a name belongs to a user of another name."""


class UserNotFoundError(Exception):
    """There is no such user."""

    def __init__(self) -> None:
        super().__init__("there is no such user")


class NoSuchUnknownError(Exception):
    """There is no such unknown."""

    def __init__(self) -> None:
        super().__init__("there is no such unknown")


class UnknownIsUserError(Exception):
    """The unknown has become a user already.

    Attributes:
        user_id: the user.
    """

    def __init__(self, user_id: UUID) -> None:
        super().__init__(f"the unknown has become the user {user_id}")
        self.user_id = user_id


class CannotRegroupError(Exception):
    """Unknowns cannot be joined or parted as asked; the message says why."""


class TooManyPhotosError(Exception):
    """A gallery has more photos than can be compared with each other while a caller waits."""

    def __init__(self, photos: int, most: int) -> None:
        """Say how many there are.

        Args:
            photos: in the gallery.
            most: that are compared.
        """
        super().__init__(
            f"the gallery has {photos} photos, and at most {most} are compared here; run fecapass "
            "people check"
        )
