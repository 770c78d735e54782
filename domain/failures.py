"""The ways in which processing fails, each with one treatment.

`Retry`: the world is at fault and will recover; try again for as long as it takes.
`Denied`: the world or this event is at fault, and nobody says which; try again for a bounded time,
then it goes to the dead letters, from where it can be replayed.
`Reject`: this event is at fault; it goes to the dead letters at once.
`GivenUp`: the same, of an event that nobody has found to be at fault for good.
`Fatal`: the deployment is at fault; the worker stops and says so.
"""


class Retry(Exception):
    """A store or the broker is away; the same work may succeed later."""


class Denied(Retry):
    """This event alone is refused, or fails, and nobody says whether it will for ever.

    Attributes:
        reason: stable code in snake case; the ``dlq_reason`` header when patience is over.
    """

    reason = "access_denied"


class Reject(Exception):
    """The event cannot be processed, now or ever.

    Attributes:
        reason: stable code in snake case; the ``dlq_reason`` header.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class GivenUp(Reject):
    """Nobody knows whether the event can be processed, and patience with it is over.

    Unlike one that was refused for good, it may be processed when it is replayed.
    """


class Fatal(Exception):
    """The worker is misconfigured; the message says what to change."""
