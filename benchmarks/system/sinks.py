"""Rows, embeddings and crops per second, compared with the bare limit of each server.

Bare means: the same bytes by the shortest way that the server offers, in batches or with a
concurrency of the same size, durable after each batch. Rows by COPY into the two tables;
embeddings by COPY into the partition (its indexes included); crops by HTTP PUT to addresses
that were signed before. Rounds of both take turns, and the medians count.

Run alone: ``python -m benchmarks sinks --help``.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from uuid import uuid4

import aiohttp
import asyncpg
import numpy as np
from botocore.config import Config
from botocore.session import get_session
from yarl import URL

from benchmarks.arguments import count
from benchmarks.report import Report, Result, compare, make_report
from benchmarks.system.servers import bare_servers
from config.settings import S3Settings, Settings
from domain.events import EventKind, FaceMatch, ImageEvent, MatchKind
from domain.store_rows import EventResult, FaceRow, Outcome, Sighting
from ml.recognition.embedders import unit_rows
from sinks.main.main_store import Records
from sinks.objects.crops import Crops
from sinks.vector.partitions import partition_name
from sinks.vector.vector_format import encode_vector
from sinks.vector.vector_store import Vectors

RATE = "items_per_second"
SINK, BARE = "sink", "bare server"

_MODEL, _DIMENSION = "benchmark-sinks", 128
_WHEN = datetime(2026, 1, 1, tzinfo=UTC)
_EVENT_COLUMNS = (
    "event_uuid", "model", "kind", "source", "id", "key", "captured_at", "width", "height",
    "face_count", "outcome",
)  # fmt: skip
_FACE_COLUMNS = (
    "id", "event_uuid", "event_id", "index", "camera_id", "captured_at", "box", "landmarks",
    "score", "quality", "model", "crop_key", "similarity",
)  # fmt: skip

#: Batches in a turn, so that each takes about a tenth of a second.
_AT_ONCE = {"rows": 20, "embeddings": 2, "crops": 4}

#: Stores one batch.
Store = Callable[[], Awaitable[None]]


class Rows:
    """Events of one face each: `sinks.main.main_store` against COPY."""

    name = "rows"

    def __init__(
        self, records: Records, bare: "asyncpg.Connection[asyncpg.Record]", batch: int
    ) -> None:
        self._records, self._connection, self._batch = records, bare, batch

    async def sink(self) -> None:
        """Claim and commit, as the identify agent does."""
        results = [_result() for _ in range(self._batch)]
        async with self._records.claim([one.key for one in results]) as claim:
            await claim.commit(results)

    async def bare(self) -> None:
        """COPY into both tables in one transaction."""
        events = [_result() for _ in range(self._batch)]
        async with self._connection.transaction():
            await self._connection.copy_records_to_table(
                "events", columns=_EVENT_COLUMNS, records=[_event_row(one) for one in events]
            )
            await self._connection.copy_records_to_table(
                "faces", columns=_FACE_COLUMNS, records=[_face_row(one) for one in events]
            )


class Embeddings:
    """Sightings: `sinks.vector.vector_store` against COPY."""

    name = "embeddings"

    def __init__(
        self, vectors: Vectors, bare: "asyncpg.Connection[asyncpg.Record]", batch: int
    ) -> None:
        self._vectors, self._connection, self._batch = vectors, bare, batch
        self._random = np.random.default_rng(0)

    async def sink(self) -> None:
        """As the identify agent does."""
        sightings = [
            Sighting(face_id=uuid4(), user_id=None, embedding=one, captured_at=_WHEN)
            for one in self._drawn()
        ]
        await self._vectors.add_sightings(_MODEL, sightings)

    async def bare(self) -> None:
        """COPY into the model's partition."""
        await self._connection.copy_records_to_table(
            partition_name(_MODEL),
            columns=("face_id", "model", "kind", "embedding", "captured_at"),
            records=[
                (uuid4(), _MODEL, "sighting", encode_vector(one), _WHEN) for one in self._drawn()
            ],
        )

    def _drawn(self) -> Sequence[np.ndarray[tuple[int], np.dtype[np.float32]]]:
        drawn = self._random.standard_normal((self._batch, _DIMENSION), np.float32)
        return list(unit_rows(drawn))


class Objects:
    """Crops of 10 KB: `sinks.objects.crops` against signed addresses."""

    name = "crops"

    def __init__(self, crops: Crops, session: aiohttp.ClientSession, batch: int) -> None:
        self._crops, self._session, self._batch = crops, session, batch
        self._data = np.random.default_rng(0).bytes(10_000)
        self._addresses: list[str] = []

    def sign(self, settings: S3Settings, batches: int) -> None:
        """Sign the addresses of so many batches."""
        client = get_session().create_client(
            "s3",
            region_name=settings.region,
            endpoint_url=settings.endpoint_url,
            aws_access_key_id=settings.access_key_id,
            aws_secret_access_key=settings.secret_access_key.get_secret_value(),
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )
        self._addresses = [
            client.generate_presigned_url(
                "put_object", {"Bucket": settings.bucket, "Key": f"bare/{number}.jpg"}
            )
            for number in range(batches * self._batch)
        ]

    async def sink(self) -> None:
        """As the identify agent does."""
        await self._crops.put_many(
            [(f"crops/benchmark/{uuid4()}.jpg", self._data) for _ in range(self._batch)]
        )

    async def bare(self) -> None:
        """One PUT each, all at once."""
        await asyncio.gather(*(self._put(self._addresses.pop()) for _ in range(self._batch)))

    async def _put(self, address: str) -> None:
        async with self._session.put(URL(address, encoded=True), data=self._data) as answer:
            answer.raise_for_status()


async def compare_rounds(
    case: Mapping[str, str | int], sink: Store, bare: Store, rounds: int, at_once: int
) -> list[Result]:
    """Both ways in turns, each turn of so many batches."""
    batch = int(case["batch"])
    rates: dict[str, list[float]] = {SINK: [], BARE: []}
    await sink()
    await bare()
    for _ in range(rounds):
        for subject, store in ((SINK, sink), (BARE, bare)):
            began = time.perf_counter()
            for _ in range(at_once):
                await store()
            rates[subject].append(at_once * batch / (time.perf_counter() - began))
    return [Result("sinks", subject, case, {RATE: median(some)}) for subject, some in rates.items()]


async def measure(settings: Settings, rounds: int, batch: int) -> list[Result]:
    """All three kinds."""
    results: list[Result] = []
    async with (
        Records(settings.main_db) as records,
        Vectors(settings.vector_db) as vectors,
        Crops(settings.s3) as crops,
        aiohttp.ClientSession() as session,
    ):
        await vectors.ensure_model(_MODEL, _DIMENSION)
        main = await asyncpg.connect(settings.main_db.dsn)
        vector = await asyncpg.connect(settings.vector_db.dsn)
        await vector.set_type_codec(
            "vector", schema="public", encoder=bytes, decoder=bytes, format="binary"
        )
        try:
            rows, embeddings = Rows(records, main, batch), Embeddings(vectors, vector, batch)
            objects = Objects(crops, session, batch)
            objects.sign(settings.s3, rounds * _AT_ONCE["crops"] + 1)
            # What the server plans for empty tables it keeps to until it has statistics, and in
            # life it soon has.
            for _ in range(_AT_ONCE["rows"]):
                await rows.sink()
            await main.execute("ANALYZE events, faces")
            for kind, sink, bare in (
                ("rows", rows.sink, rows.bare),
                ("embeddings", embeddings.sink, embeddings.bare),
                ("crops", objects.sink, objects.bare),
            ):
                case: dict[str, str | int] = {"kind": kind, "batch": batch}
                results += await compare_rounds(case, sink, bare, rounds, _AT_ONCE[kind])
        finally:
            await main.close()
            await vector.close()
    return results


async def run(arguments: argparse.Namespace) -> Report:
    """Start servers, measure, stop them."""
    async with bare_servers() as settings:
        results = await measure(settings, arguments.rounds, arguments.batch)
    parameters = {"rounds": arguments.rounds}
    return make_report(results, compare(results, SINK, BARE, RATE), parameters)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--batch", type=count, default=64, help="events in a batch (default: %(default)s)"
    )
    parser.add_argument(
        "--rounds", type=count, default=20, help="turns of each (default: %(default)s)"
    )


def _result() -> EventResult:
    event = ImageEvent(
        kind=EventKind.FRAME, source="benchmark", id=str(uuid4()), key="camera", captured_at=_WHEN
    )
    match = FaceMatch(
        face_id=event.face_id(_MODEL, 0),
        event_id=event.id,
        camera_id=event.key,
        captured_at=_WHEN,
        box=(1.0, 2.0, 30.0, 40.0),
        score=0.9,
        quality=0.8,
        user_id=None,
        similarity=0.3,
        runner_up_similarity=None,
        model=_MODEL,
        crop_key="crops/camera/2026/01/01/a.jpg",
        kind=MatchKind.FRAME,
    )
    landmarks = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)
    return EventResult(
        event=event,
        model=_MODEL,
        width=640,
        height=480,
        outcome=Outcome.FACES,
        face_count=1,
        faces=(FaceRow(match=match, index=0, landmarks=landmarks),),
    )


def _event_row(one: EventResult) -> tuple[object, ...]:
    event = one.event
    return (
        event.uuid, one.model, "frame", event.source, event.id, event.key, event.captured_at,
        one.width, one.height, one.face_count, one.outcome.value,
    )  # fmt: skip


def _face_row(one: EventResult) -> tuple[object, ...]:
    face = one.faces[0]
    match = face.match
    return (
        match.face_id, one.event.uuid, match.event_id, face.index, match.camera_id,
        match.captured_at, match.box, face.landmarks, match.score, match.quality, one.model,
        match.crop_key, match.similarity,
    )  # fmt: skip
