"""Is one sender at fault for the dead letters, or this deployment?

A broken deployment refuses the messages of all senders. While messages of other senders are
processed, a sender with many dead letters is at fault itself: it is in quarantine. Its messages
become dead letters as before, but do not count towards the limit that stops the worker
(`streams.dead_letters.dead_letter_limit`).

A sender is a key (a camera); for uploads, which have a key each, it is ``ce_source``. Only senders
with at least one processed message show that the deployment works, so that a producer that invents
a key for every message does not count as many senders. If there are no such senders, the worker can
show by a self-test that it works (`Quarantine.excuse`).
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from config.observability import metrics
from streams.contract.message import Message

logger = logging.getLogger(__name__)

#: Maximum number of senders of each kind that are kept: the most recent ones.
MOST_SENDERS = 1000

#: A sender counts as active for this time after a message; if none is active, all others count.
ACTIVE_SECONDS = 600.0

#: A passed self-test counts for this time.
SELF_TEST_SECONDS = 60.0

#: At this number of messages a sender's counts are halved, so that the last messages weigh most.
_HALVE_AT = 64

#: If the last messages of this number of senders failed, and of at least half of the active
#: senders, the worker is probably at fault.
_SEVERAL = 2

#: From this number of dead letters on, a quarantine is reported to the operator.
_WORTH_REPORTING = 10

#: Maximum length of a sender's name in the log, in bytes.
_LOGGED_BYTES = 80


@dataclass(slots=True)
class _Sender:
    """What is kept about a sender."""

    topic: str
    processed: float = 0.0
    refused: float = 0.0
    last_refused: bool = False
    last_message_at: float = 0.0
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
        self.last_message_at = now


class Quarantine:
    """Keeps the outcomes of each sender's last messages. Not thread-safe."""

    def __init__(self, share: float, clock: Callable[[], float] = monotonic) -> None:
        """Start without senders.

        Args:
            share: a sender with a larger share of dead letters fails, 0 to 1.
            clock: seconds of a monotonic clock.
        """
        self._share = share
        self._clock = clock
        # Senders with a processed message, and senders without one yet; by hash, because a key may
        # have megabytes.
        self._known: OrderedDict[int, _Sender] = OrderedDict()
        self._new: OrderedDict[int, _Sender] = OrderedDict()
        self._self_test_valid_until = float("-inf")
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
            self._update_metric(sender.topic)

    def refused(
        self, message: Message, *, excusable: bool = False, by_source: bool = False
    ) -> bool:
        """A message of a sender is a dead letter.

        Args:
            message: the message.
            excusable: if the worker passes its self-test, the content of the message is at fault.
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
        self_test_valid = excusable and now < self._self_test_valid_until
        quarantined = self_test_valid or (
            sender.share > self._share and self._others_are_fine(sender if known else None, now)
        )
        if quarantined:
            metrics.QUARANTINED.labels(topic=sender.topic).inc()
            self._report(sender, name)
        return quarantined

    def excuse(self) -> None:
        """The self-test has passed: for some time, excusable dead letters do not count."""
        self._self_test_valid_until = self._clock() + SELF_TEST_SECONDS

    @property
    def many_senders_fail(self) -> bool:
        """Whether the last messages of several senders failed, and of half of the active ones."""
        now = self._clock()
        active = [
            one for one in self._known.values() if now - one.last_message_at <= ACTIVE_SECONDS
        ]
        failing = sum(one.last_refused for one in active)
        return failing >= max(_SEVERAL, len(active) / 2)

    def refresh(self) -> None:
        """Release senders that send no messages any more."""
        oldest = self._clock() - ACTIVE_SECONDS
        for sender in (*self._known.values(), *self._new.values()):
            if sender.reported and sender.last_message_at < oldest:
                sender.reported = False
                self._update_metric(sender.topic)

    def _others_are_fine(self, sender: _Sender | None, now: float) -> bool:
        """Whether the other senders with a processed message do not fail, on average."""
        self._notes_since += 1
        if self._notes_since > len(self._known) // 32:
            self._notes_since = 0
            self._others = self._sum_up(now)
        active_sum, active, silent_sum, silent = self._others
        if sender is not None:
            # This sender is active: it has just sent a message.
            active_sum, active = active_sum - sender.share, active - 1
        if active > 0:
            return active_sum / active <= self._share
        return silent > 0 and silent_sum / silent <= self._share

    def _sum_up(self, now: float) -> tuple[float, int, float, int]:
        active = [
            one.share for one in self._known.values() if now - one.last_message_at <= ACTIVE_SECONDS
        ]
        silent = [
            one.share for one in self._known.values() if now - one.last_message_at > ACTIVE_SECONDS
        ]
        return sum(active), len(active), sum(silent), len(silent)

    def _keep(self, senders: OrderedDict[int, _Sender], hashed: int, sender: _Sender) -> None:
        senders[hashed] = sender
        senders.move_to_end(hashed)
        if len(senders) > MOST_SENDERS:
            _, forgotten = senders.popitem(last=False)
            if forgotten.reported:
                self._update_metric(forgotten.topic)

    def _report(self, sender: _Sender, name: bytes) -> None:
        if sender.reported or sender.refused < _WORTH_REPORTING:
            return
        sender.reported = True
        logger.warning(
            "%s: %s is in quarantine: most of its messages are dead letters, and do not count "
            "towards the limit that stops this worker",
            sender.topic,
            _logged(name),
        )
        self._update_metric(sender.topic)

    def _update_metric(self, topic: str) -> None:
        senders = (*self._known.values(), *self._new.values())
        count = sum(sender.reported and sender.topic == topic for sender in senders)
        metrics.QUARANTINED_SENDERS.labels(topic=topic).set(count)


def _name(message: Message, *, by_source: bool) -> bytes:
    """The sender of a message: its key; its ``ce_source`` if it has no key or with `by_source`."""
    if message.key and not by_source:
        return message.key
    source = b""
    for header, value in message.headers:
        if header.lower() == "ce_source":
            source = value or b""
    return source or (message.partition.topic.encode() if by_source else b"")


def _logged(name: bytes) -> str:
    return repr(name[:_LOGGED_BYTES].decode(errors="replace"))
