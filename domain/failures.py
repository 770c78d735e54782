"""The ways in which processing fails, each with one treatment.

`Retry`: a server is at fault and will recover; retry for as long as it takes.
`Denied`: a server or this event is at fault, and it is unknown which; retry for a limited time,
then the event becomes a dead letter, which can be replayed.
`Reject`: this event is at fault; it becomes a dead letter at once.
`GivenUp`: the event becomes a dead letter, and it is unknown whether the event is at fault.
`Fatal`: the deployment is at fault; the worker stops and logs the reason.
"""


class Retry(Exception):
    """A store or the broker is unavailable; the same work may succeed later."""


class Denied(Retry):
    """Only this event is refused, or fails, and it is unknown whether that is permanent.

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
    """It is unknown whether the event can be processed, and its retries are used up.

    Unlike an event that was refused permanently, it may succeed when it is replayed.
    """


class Fatal(Exception):
    """The worker is misconfigured; the message says what to change."""
