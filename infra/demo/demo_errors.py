"""The demonstration's own failure."""


class DemoError(Exception):
    """A step did not come off; the message says which and why."""
