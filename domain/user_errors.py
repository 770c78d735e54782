"""Errors in requests about users, from the API or the command line."""


class EmailTakenError(Exception):
    """There is a user with this e-mail address."""

    def __init__(self) -> None:
        super().__init__("there is a user with this e-mail address")


class OtherUserError(Exception):
    """An address that was made from a name belongs to a user of another name."""
