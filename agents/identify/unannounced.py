"""What this worker has committed and not announced yet, so that it is counted once it is."""

import dataclasses
from collections import OrderedDict
from collections.abc import Iterable

from agents.identify.effects import EventEffects
from domain.records import EventKey

#: A batch comes again until all of it is announced. What is left over is of batches that were
#: cancelled, as when their partitions went to another worker.
MOST = 1024


class UnannouncedFaces:
    """Findings by event, without their pictures; the oldest go first."""

    def __init__(self) -> None:
        self._findings: OrderedDict[EventKey, EventEffects] = OrderedDict()

    def keep(self, findings: Iterable[EventEffects]) -> None:
        """Keep what is about to be committed and announced."""
        for finding in findings:
            small = dataclasses.replace(finding, crops=(), sightings=())
            self._findings[finding.result.key] = small
            self._findings.move_to_end(finding.result.key)
        while len(self._findings) > MOST:
            self._findings.popitem(last=False)

    def take(self, keys: Iterable[EventKey]) -> list[EventEffects]:
        """Take out those of these events that are here; they are announced."""
        return [self._findings.pop(key) for key in keys if key in self._findings]
