"""Is one sender at fault for the dead letters, or this deployment?

A broken deployment refuses the messages of all senders. While messages of other senders are
processed, a sender with many dead letters is at fault itself: it is in quarantine. Its messages
become dead letters as before, but do not count towards the limit that stops the worker
(`streams.dead_letters.dead_letter_limit`).

A sender is a key (a camera); for uploads, which have a key each, it is ``ce_source``. Only senders
of which something was processed are evidence for the deployment, so that a producer that invents a
key for every message does not count as many senders. Without such senders, the worker may prove
with a test message that it works (`Quarantine.excuse`).
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from config.observability import metrics
from streams.contract.message import Message

logger = logging.getLogger(__name__)

#: So many senders of each sort are remembered, the most recent ones.
MOST_SENDERS = 1000

#: A sender speaks for the deployment for so long after a message; if all are silent, longer.
ACTIVE_SECONDS = 600.0

#: A proof holds for so long.
PROOF_SECONDS = 60.0

#: A sender's share is that of its last messages: at this number the counts are halved.
_HALVE_AT = 64

#: When the last message of so many senders failed, and of half of those that have a say, that says
#: more of this worker than of them.
_SEVERAL = 2

#: With this number of dead letters a quarantine is reported to the operator.
_WORTH_REPORTING = 10

#: Most of a sender's name that is logged, in bytes.
_LOGGED_BYTES = 80


@dataclass(slots=True)
class _Sender:
    """What is remembered of a sender."""

    topic: str
    processed: float = 0.0
    refused: float = 0.0
    last_refused: bool = False
    heard_at: float = 0.0
    reported: bool = False

    @property
    def share(self) -> float:
        """Share of dead letters among its last messages, 0 to 1."""
        total = self.processed + self.refused
        return self.refused / total if total else 0.0

    def count(self, *, refused: bool, now: float) -> None:
        if self.processed + self.refused >= _HALVE_AT:
            self.processed /= 2
            self.refused /= 2
        if refused:
            self.refused += 1
        else:
            self.processed += 1
        self.last_refused = refused
        self.heard_at = now


class Quarantine:
    """Remembers what became of each sender's last messages. Belongs to one event loop."""

    def __init__(self, share: float, clock: Callable[[], float] = monotonic) -> None:
        """Begin with nothing remembered.

        Args:
            share: a sender with a larger share of dead letters fails, 0 to 1.
            clock: seconds of a monotonic clock.
        """
        self._share = share
        self._clock = clock
        # Those of which something was processed, and those of which nothing was yet, by hash: a
        # key may have megabytes.
        self._known: OrderedDict[int, _Sender] = OrderedDict()
        self._new: OrderedDict[int, _Sender] = OrderedDict()
        self._proven_until = float("-inf")
        self._others = (0.0, 0, 0.0, 0)
        self._notes_since = 0

    def processed(self, message: Message, *, by_source: bool = False) -> None:
        """A message of a sender was processed."""
        name, now = _name(message, by_source=by_source), self._clock()
        hashed = hash(name)
        sender = self._known.get(hashed) or self._new.pop(hashed, None)
        sender = sender or _Sender(message.partition.topic)
        sender.count(refused=False, now=now)
        self._keep(self._known, hashed, sender)
        if sender.reported and sender.share <= self._share:
            sender.reported = False
            logger.info("%s: %s sends good messages again", sender.topic, _logged(name))
            self._show(sender.topic)

    def refused(
        self, message: Message, *, excusable: bool = False, by_source: bool = False
    ) -> bool:
        """A message of a sender is a dead letter.

        Args:
            message: the message.
            excusable: its content is at fault if the worker can do its work.
            by_source: the sender is ``ce_source``, not the key.

        Returns:
            Whether only the sender is at fault.
        """
        name, now = _name(message, by_source=by_source), self._clock()
        hashed = hash(name)
        known = hashed in self._known
        sender = self._known.get(hashed) or self._new.get(hashed)
        sender = sender or _Sender(message.partition.topic)
        sender.count(refused=True, now=now)
        self._keep(self._known if known else self._new, hashed, sender)
        proven = excusable and now < self._proven_until
        held = proven or (
            sender.share > self._share and self._others_are_fine(sender if known else None, now)
        )
        if held:
            metrics.QUARANTINED.labels(topic=sender.topic).inc()
            self._tell(sender, name)
        return held

    def excuse(self) -> None:
        """The worker works: for a while, only the sender is at fault for excusable dead letters."""
        self._proven_until = self._clock() + PROOF_SECONDS

    @property
    def speakers_fail(self) -> bool:
        """Whether the last message of several senders failed, and of half of those with a say."""
        now = self._clock()
        active = [one for one in self._known.values() if now - one.heard_at <= ACTIVE_SECONDS]
        failing = sum(one.last_refused for one in active)
        return failing >= max(_SEVERAL, len(active) / 2)

    def refresh(self) -> None:
        """Release senders that have fallen silent."""
        oldest = self._clock() - ACTIVE_SECONDS
        for sender in (*self._known.values(), *self._new.values()):
            if sender.reported and sender.heard_at < oldest:
                sender.reported = False
                self._show(sender.topic)

    def _others_are_fine(self, sender: _Sender | None, now: float) -> bool:
        """Whether the other senders of which something was processed do not fail, on average."""
        self._notes_since += 1
        if self._notes_since > len(self._known) // 32:
            self._notes_since = 0
            self._others = self._sum_up(now)
        active_sum, active, silent_sum, silent = self._others
        if sender is not None:
            # It has just sent a message.
            active_sum, active = active_sum - sender.share, active - 1
        if active > 0:
            return active_sum / active <= self._share
        return silent > 0 and silent_sum / silent <= self._share

    def _sum_up(self, now: float) -> tuple[float, int, float, int]:
        active = [one.share for one in self._known.values() if now - one.heard_at <= ACTIVE_SECONDS]
        silent = [one.share for one in self._known.values() if now - one.heard_at > ACTIVE_SECONDS]
        return sum(active), len(active), sum(silent), len(silent)

    def _keep(self, senders: OrderedDict[int, _Sender], hashed: int, sender: _Sender) -> None:
        senders[hashed] = sender
        senders.move_to_end(hashed)
        if len(senders) > MOST_SENDERS:
            _, forgotten = senders.popitem(last=False)
            if forgotten.reported:
                self._show(forgotten.topic)

    def _tell(self, sender: _Sender, name: bytes) -> None:
        if sender.reported or sender.refused < _WORTH_REPORTING:
            return
        sender.reported = True
        logger.warning(
            "%s: %s is in quarantine: most of its messages are dead letters, and do not count "
            "towards the limit that stops this worker",
            sender.topic,
            _logged(name),
        )
        self._show(sender.topic)

    def _show(self, topic: str) -> None:
        senders = (*self._known.values(), *self._new.values())
        count = sum(sender.reported and sender.topic == topic for sender in senders)
        metrics.QUARANTINED_SENDERS.labels(topic=topic).set(count)


def _name(message: Message, *, by_source: bool) -> bytes:
    """Who has sent a message: its key, or else, or if that is wanted, its ``ce_source``."""
    if message.key and not by_source:
        return message.key
    source = b""
    for header, value in message.headers:
        if header.lower() == "ce_source":
            source = value or b""
    return source or (message.partition.topic.encode() if by_source else b"")


def _logged(name: bytes) -> str:
    return repr(name[:_LOGGED_BYTES].decode(errors="replace"))
