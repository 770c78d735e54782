"""Whether a camera's clock can be trusted. Pure.

A picture is taken before its message reaches the broker. A later ``ce_time`` comes from a wrong
clock: until that time the picture would be listed as the newest. The ``ce_time`` is kept as it was
sent, and the time at which the message reached the broker is used instead.

Kafka's timestamp is of one of two types. LogAppendTime is set by the broker. CreateTime, the
default, is set by the producer, whose clock may also be wrong: it is used if it is not after this
worker's clock, and not so old that no topic would still have the message.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

#: No message stays in Kafka for longer; an earlier CreateTime comes from a clock that was not set.
LONGEST_IN_KAFKA = timedelta(days=90)

#: No picture is older; a clock whose battery is empty starts in 1970, 1980 or 2000.
OLDEST_PICTURE = timedelta(days=3652)

#: By default, how far a camera's clock may be ahead, in seconds.
DEFAULT_AHEAD = 60.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ClockPolicy:
    """How far a clock may be wrong.

    Attributes:
        ahead: seconds that a time may be after Kafka's.
    """

    ahead: float = DEFAULT_AHEAD


def arrival(timestamp: float, now: datetime, policy: ClockPolicy, *, by_broker: bool) -> datetime:
    """The best estimate of the time at which a message reached the broker.

    Args:
        timestamp: Kafka's, seconds since the epoch; 0 or less: none.
        now: by this worker's clock.
        policy: how far a clock may be wrong.
        by_broker: the timestamp is LogAppendTime.
    """
    if timestamp <= 0.0:
        return now
    try:
        stamp = _EPOCH + timedelta(seconds=timestamp)
    except OverflowError:
        return now
    if by_broker:
        return stamp
    latest = now + timedelta(seconds=policy.ahead)
    return stamp if now - LONGEST_IN_KAFKA <= stamp <= latest else now


def seen_at(captured_at: datetime, arrived_at: datetime, policy: ClockPolicy) -> datetime | None:
    """The time to use for a picture whose own time is not trusted; None if it is trusted.

    Args:
        captured_at: when it was taken, by the camera's clock.
        arrived_at: see `arrival`.
        policy: how far a clock may be wrong.
    """
    ahead = captured_at - arrived_at
    if ahead > timedelta(seconds=policy.ahead) or -ahead > OLDEST_PICTURE:
        return arrived_at
    return None
