"""What a bare consumer reads back is what the event contract promises."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from aiobotocore.session import get_session
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from rich.console import Console

from config.settings import KafkaSettings, Settings
from domain.events import EventKind, ImageEvent, utc_now
from domain.failures import Retry
from infra.cameras.encoding import JpegEncoder
from infra.cameras.frame_publisher import FramePublisher
from infra.cameras.identity import camera_source
from infra.cameras.player import Player
from infra.cameras.publish_cameras import PublishOptions, PublishReport, publish
from infra.cameras.sources import PictureSource, VideoSource
from infra.cameras.storage import image_store
from infra.database.create_topics import ensure_topics
from streams.clients import image_producer
from streams.clients.image_producer import ImageProducer, PublishError

CAMERA = "site/Tür 1"


def jpeg(seed: int, side: int = 64) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


@pytest.fixture
async def kafka(settings: Settings) -> AsyncIterator[KafkaSettings]:
    """Settings with a topic prefix of the test's own, and that topic."""
    prefix = f"p{secrets.token_hex(4)}."
    kafka = settings.kafka.model_copy(update={"topic_prefix": prefix, "claim_check": False})
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    topic = prefix + "camera.frames"
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])
        yield kafka
        await admin.delete_topics([topic])
    finally:
        await admin.close()


@pytest.fixture
async def s3(settings: Settings) -> AsyncIterator[Any]:
    """A bare S3 client; the bucket of the settings is there."""
    async with get_session().create_client(
        "s3",
        endpoint_url=settings.s3.endpoint_url,
        region_name=settings.s3.region,
        aws_access_key_id=settings.s3.access_key_id,
        aws_secret_access_key=settings.s3.secret_access_key.get_secret_value(),
    ) as client:
        with suppress(client.exceptions.BucketAlreadyOwnedByYou):
            await client.create_bucket(Bucket=settings.s3.bucket)
        yield client


async def read_back(kafka: KafkaSettings, count: int) -> list[ConsumerRecord]:
    """All messages of the topic, which must be so many."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        topic = kafka.topic_prefix + "camera.frames"
        partitions = [TopicPartition(topic, number) for number in range(2)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        records: list[ConsumerRecord] = []
        async with asyncio.timeout(20):
            while len(records) < count:
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    records.extend(batch)
        # The embedded broker's end offsets lag behind, so that one more look has to tell.
        assert not await consumer.getmany(timeout_ms=300)
        assert len(records) == count
        return records
    finally:
        await consumer.stop()


def headers(record: ConsumerRecord) -> dict[str, str]:
    names = [name for name, _ in record.headers]
    assert len(names) == len(set(names))
    return {name: value.decode() for name, value in record.headers}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(5):
        (tmp_path / f"{index}.jpg").write_bytes(jpeg(index))
    (tmp_path / "readme.txt").write_text("no picture")
    return tmp_path


async def test_a_folder_arrives_byte_for_byte_with_all_attributes(
    kafka: KafkaSettings, folder: Path
):
    before = utc_now()
    async with FramePublisher(kafka) as publisher:
        result = await Player(publisher).play(PictureSource(folder, CAMERA), CAMERA)
        await publisher.flush()
        assert publisher.acknowledged == result.sent == 5
    assert result.skipped == 1

    records = await read_back(kafka, 5)
    assert len({record.partition for record in records}) == 1
    for index, record in enumerate(records):
        assert record.key == CAMERA.encode()
        assert record.value == (folder / f"{index}.jpg").read_bytes()
        attributes = headers(record)
        assert set(attributes) == {
            "ce_specversion",
            "ce_id",
            "ce_source",
            "ce_type",
            "ce_time",
            "content-type",
        }
        assert attributes["ce_specversion"] == "1.0"
        assert attributes["ce_source"] == "camera/site/T%C3%BCr%201"
        assert attributes["ce_type"] == "fecapass.frame.captured"
        assert attributes["content-type"] == "image/jpeg"
        moment = datetime.fromisoformat(attributes["ce_time"])
        assert before <= moment <= datetime.now(UTC)


async def test_the_same_folder_published_twice_is_the_same_events(
    kafka: KafkaSettings, folder: Path
):
    for _ in range(2):
        async with FramePublisher(kafka) as publisher:
            await Player(publisher).play(PictureSource(folder, CAMERA), CAMERA)
            await publisher.flush()
    ids = [headers(record)["ce_id"] for record in await read_back(kafka, 10)]
    assert ids[:5] == ids[5:]
    assert len(set(ids)) == 5


async def test_a_video_is_played_at_its_own_pace_as_jpeg(kafka: KafkaSettings, tmp_path: Path):
    path = tmp_path / "v.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 20.0, (64, 48))
    for index in range(10):
        writer.write(np.full((48, 64, 3), 20 * index, np.uint8))
    writer.release()
    started = utc_now()
    async with FramePublisher(kafka) as publisher:
        player = Player(publisher, encoder=JpegEncoder(width=32))
        await player.play(VideoSource(path), "car")
        await publisher.flush()
    # Ten frames of 50 ms: the last one is due 450 ms after the first.
    assert utc_now() - started >= timedelta(seconds=0.45)

    records = await read_back(kafka, 10)
    times = [datetime.fromisoformat(headers(record)["ce_time"]) for record in records]
    assert [(time - times[0]).total_seconds() for time in times] == pytest.approx(
        [index * 0.05 for index in range(10)], abs=1e-3
    )
    for index, record in enumerate(records):
        frame = cv2.imdecode(np.frombuffer(record.value, np.uint8), cv2.IMREAD_COLOR)
        assert frame is not None
        assert frame.shape == (24, 32, 3)
        assert abs(float(frame.mean()) - 20 * index) < 10


async def test_a_claim_check_has_an_empty_value_and_says_where_the_image_lies(
    kafka: KafkaSettings, settings: Settings, folder: Path, s3: Any
):
    async with (
        image_store(settings) as store,
        FramePublisher(kafka, store_image=store, claim_check=True) as publisher,
    ):
        await Player(publisher).play(PictureSource(folder, "door"), "door")
        await publisher.flush()
    records = await read_back(kafka, 5)
    found = set()
    for record in records:
        assert record.value == b""
        attributes = headers(record)
        name, _, key = attributes["ce_dataref"].removeprefix("s3://").partition("/")
        assert name == settings.s3.bucket
        assert key.startswith("frames/")
        stored = await s3.get_object(Bucket=name, Key=key)
        found.add(await stored["Body"].read())
    assert found == {(folder / f"{index}.jpg").read_bytes() for index in range(5)}


async def test_what_is_too_large_for_a_message_goes_by_claim_check(kafka: KafkaSettings):
    small, large = jpeg(1), jpeg(2, side=400)
    limited = kafka.model_copy(update={"max_message_bytes": 64 * 1024})
    assert len(large) > 64 * 1024 > len(small)
    kept: dict[str, bytes] = {}

    async def store(key: str, data: bytes) -> str:
        kept[key] = data
        return f"s3://bucket/{key}"

    async with FramePublisher(limited, store_image=store) as publisher:
        for number, data in enumerate((small, large)):
            await publisher.publish(an_event(number), data)
        await publisher.flush()
    by_id = {headers(record)["ce_id"]: record for record in await read_back(kafka, 2)}
    assert by_id["0"].value == small
    assert by_id["1"].value == b""
    assert list(kept.values()) == [large]
    assert headers(by_id["1"])["ce_dataref"] == f"s3://bucket/{next(iter(kept))}"


async def test_a_failing_store_ends_publishing_with_its_reason(kafka: KafkaSettings):
    async def store(_key: str, _data: bytes) -> str:
        raise Retry("s3 http://127.0.0.1:1: connection refused")

    async with FramePublisher(kafka, store_image=store, claim_check=True) as publisher:
        await publisher.publish(an_event(0), jpeg(0))
        with pytest.raises(PublishError, match="connection refused"):
            await publisher.flush()
        with pytest.raises(PublishError, match="connection refused"):
            await publisher.publish(an_event(1), jpeg(1))
    await read_back(kafka, 0)


async def test_no_more_than_the_bound_is_in_flight(
    kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("infra.cameras.frame_publisher.MAX_IN_FLIGHT", 4)
    released = asyncio.Event()

    async def store(key: str, _data: bytes) -> str:
        await released.wait()
        return f"s3://bucket/{key}"

    async with FramePublisher(kafka, store_image=store, claim_check=True) as publisher:

        async def feed() -> None:
            for number in range(10):
                await publisher.publish(an_event(number), jpeg(number))

        feeding = asyncio.create_task(feed())
        await asyncio.wait([feeding], timeout=0.5)
        assert publisher.in_flight == 4
        assert not feeding.done()
        released.set()
        await feeding
        await publisher.flush()
        assert publisher.acknowledged == 10


async def test_an_absent_broker_is_one_clear_line(kafka: KafkaSettings):
    away = kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    with pytest.raises(PublishError) as caught:
        async with FramePublisher(away):
            pass
    assert "127.0.0.1:1" in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_the_command_publishes_up_to_its_limit_and_reports(
    kafka: KafkaSettings, settings: Settings, folder: Path
):
    mine = settings.model_copy(update={"kafka": kafka})
    options = PublishOptions(location=str(folder), camera="door", limit=3)
    report: PublishReport = await publish(mine, options, Console(stderr=True))
    assert report.line("door") == "camera door: 3 frames sent, 3 acknowledged"
    await read_back(kafka, 3)


def an_event(number: int) -> ImageEvent:
    return ImageEvent(
        kind=EventKind.FRAME,
        source=camera_source("door"),
        id=str(number),
        key="door",
        captured_at=utc_now(),
    )


@pytest.mark.parametrize("kind", [EventKind.FRAME, EventKind.SEARCH])
async def test_before_init_db_nothing_is_published_and_no_topic_made(settings: Settings, kind):
    """A broker would make it by itself, with as many partitions as it likes."""
    prefix = f"p{secrets.token_hex(4)}."
    kafka = settings.kafka.model_copy(update={"topic_prefix": prefix, "claim_check": False})
    event = ImageEvent(kind=kind, source="s", id="1", key="door", captured_at=utc_now())
    async with ImageProducer(kafka) as producer:
        with pytest.raises(PublishError, match="run fecapass init-db first"):
            await producer.deliver(event, jpeg(1))
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        assert not [topic for topic in await admin.list_topics() if topic.startswith(prefix)]
    finally:
        await admin.close()


async def test_a_topic_that_the_broker_only_learns_of_is_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(image_producer, "_TOPIC_PATIENCE", 60.0)  # a busy machine makes topics late
    kafka = settings.kafka.model_copy(
        update={"topic_prefix": f"p{secrets.token_hex(4)}.", "claim_check": False}
    )
    async with ImageProducer(kafka) as producer:
        delivering = asyncio.create_task(producer.deliver(an_event(1), jpeg(1)))
        await asyncio.sleep(0)  # it asks first
        await ensure_topics(kafka, lambda _line: None)
        await delivering
