"""How far a partition is done. Pure.

Offsets are not numbers of messages: the markers of transactions, aborted batches and what was
compacted away have offsets, too, and no consumer ever sees them. Behind the last message they lie
between the offset after it and the consumer's position.
"""

from typing import NamedTuple


class Fetched(NamedTuple):
    """How far a partition was fetched, at one moment.

    Attributes:
        first: offset of the first message that a fetch brought since the partition was assigned;
            None before that.
        last: offset of the last one.
        position: offset that will be fetched next.
    """

    first: int | None
    last: int | None
    position: int


def committable(acknowledged: int | None, fetched: Fetched | None) -> int | None:
    """The offset up to which everything is done.

    Args:
        acknowledged: offset after the last message that is acknowledged, with all before it; None
            before the first.
        fetched: how far the partition was fetched; None when that is not known.

    Returns:
        The position once every message that was fetched is acknowledged; else ``acknowledged``, or
        where the first message lies.
    """
    if fetched is None:
        return acknowledged
    after_last = None if fetched.last is None else fetched.last + 1
    if acknowledged != after_last:
        return fetched.first if acknowledged is None else acknowledged
    return max(fetched.position, acknowledged or 0)
