"""Long retries, for a worker's health check: what is retried, since when, and why."""

from dataclasses import dataclass
from time import monotonic

from domain.failures import Denied
from streams.lifecycle.health_server import Check

#: A retry that succeeds within this time is not reported, in seconds.
_PATIENCE_SECONDS = 10.0

_MAX_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class _LastingRetry:
    topic: str
    since: float
    reason: str


class LastingRetries:
    """Keeps for each batch that is being retried since when and why."""

    def __init__(self, patience: float = _PATIENCE_SECONDS) -> None:
        """Start without retries.

        Args:
            patience: seconds of retries after which the worker is not healthy.
        """
        self._patience = patience
        self._retried: dict[object, _LastingRetry] = {}

    def note(self, batch: object, topic: str, failure: Exception) -> None:
        """Note that a batch will be retried.

        `Denied` is ignored: probably the message is at fault, and not the worker.
        """
        if isinstance(failure, Denied):
            return
        known = self._retried.get(batch)
        reason = " ".join(f"{type(failure).__name__}: {failure}".split())[:_MAX_CHARACTERS]
        self._retried[batch] = _LastingRetry(topic, known.since if known else monotonic(), reason)

    def over(self, batch: object) -> None:
        """Note that a batch has its outcome."""
        self._retried.pop(batch, None)

    def check(self) -> Check:
        """Fails while a batch has been retried for longer than the patience."""
        now = monotonic()
        lasting = [one for one in self._retried.values() if now - one.since >= self._patience]
        if not lasting:
            return Check("retries", True, "none that lasts")
        oldest = min(lasting, key=lambda one: one.since)
        seconds = now - oldest.since
        return Check(
            "retries", False, f"{oldest.topic} is retried for {seconds:.0f} s: {oldest.reason}"
        )
