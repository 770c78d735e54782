"""The one expected failure of the embedded stack."""


class StackError(Exception):
    """The stack cannot start or continue.

    The message is one clear line, a log's tail may follow.
    """
