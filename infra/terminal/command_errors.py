"""The expected failure of a command."""


class CommandFailed(Exception):
    """The command could not do its work; the message is one clear line for standard error."""
