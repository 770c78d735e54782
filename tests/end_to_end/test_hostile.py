"""Hostile input through the whole pipeline: each message has one outcome, and no neighbour pays."""

import asyncio
import os
import re
import signal
from collections import Counter
from pathlib import Path
from random import Random
from uuid import uuid4

import aiohttp
import cv2
import numpy as np
import pytest
from aiokafka.errors import MessageSizeTooLargeError
from msgspec.structs import replace

from infra.database.init_db import initialise
from sinks.objects.crops import Crops
from streams.clients.client_factory import create_consumer, create_producer
from streams.contract.topics import Topics
from streams.contract.value_codec import pack
from tests import decompression_bombs
from tests.end_to_end import photos
from tests.end_to_end.conftest import running_workers
from tests.unit.ml import pictures
from tests.unit.streams.test_codec import FACE, FOUND, UNSOUND, embedding

#: What docs/hostile-input.md states: resident memory of a detect worker at the default settings.
MOST_MEMORY = 2 * 1024**3

MUTATIONS = 150
SECONDS = 120

#: What may become of an image that cannot be used.
IMAGE_REASONS = {
    "empty", "corrupt", "unsupported_format", "too_many_bytes", "too_many_pixels", "degenerate",
    "too_complex",
}  # fmt: skip
ENVELOPE_REASONS = {
    "bad_header", "bad_key", "missing_attribute", "unsupported_specversion", "unsupported_mode",
    "unknown_type", "bad_time", "empty",
}  # fmt: skip
CLAIM_REASONS = {"bad_dataref", "forbidden_bucket", "not_found", "too_large", "store_rejected"}


class Site:
    """Topics, bucket and workers of this module's own, and all that was sent to them."""

    def __init__(self, settings, workers, producer):
        self.settings = settings
        self.topics = Topics(settings.kafka.topic_prefix)
        self.detect, self.identify = workers
        self.producer = producer
        self.run = uuid4().hex[:10]
        self.sent = {}
        self.refused = []
        self.good = []
        self.faces = photos.carphone(20)

    def contract(self, name):
        return [
            ("ce_specversion", b"1.0"),
            ("ce_id", name.encode()),
            ("ce_source", b"camera/hostile"),
            ("ce_type", b"fecapass.frame.captured"),
        ]

    async def send(self, name, value, *, key=b"door", headers=(), topic=None):
        """Send one message, and remember under which names its outcome may be found.

        A broker that keeps to the topic's limit refuses what is too large; that is its outcome.
        """
        topic = topic or self.topics.frames
        try:
            sent = await self.producer.send_and_wait(topic, value, key=key, headers=list(headers))
        except MessageSizeTooLargeError:
            assert len(value) > self.settings.kafka.max_message_bytes
            self.refused.append(name)
            return
        self.sent[name] = (topic, sent.partition, sent.offset)

    async def send_good(self):
        """A frame with a face, as a neighbour."""
        name = f"{self.run}-good-{len(self.good)}"
        self.good.append(name)
        await self.send(
            name,
            self.faces[len(self.good) % len(self.faces)],
            key=b"door",
            headers=self.contract(name),
        )

    async def hostile(self, messages):
        """Send each between two good frames."""
        await self.send_good()
        for name, arguments in messages.items():
            await self.send(name, **arguments)
            await self.send_good()

    async def outcomes(self, records):
        """Wait until all that was sent has ended, and say how: by name."""
        letters, found = {}, {}
        topics = [self.topics.dead_letter(topic) for topic in self.topics.consumed]
        settings = self.settings.kafka
        consumer = create_consumer(settings, *topics, auto_offset_reset="earliest")
        await consumer.start()
        try:
            async with asyncio.timeout(SECONDS):
                while len(found) < len(self.sent):
                    for part in (await consumer.getmany(timeout_ms=500)).values():
                        letters |= dict(map(_letter, part))
                    ledger = await _ledger(records, self.run, self.topics.frames)
                    found = {
                        name: letters.get(address) or ledger.get(name) or ledger.get(_id(address))
                        for name, address in self.sent.items()
                    }
                    found = {name: outcome for name, outcome in found.items() if outcome}
        except TimeoutError:
            missing = sorted(self.sent.keys() - found.keys())
            pytest.fail(f"without an outcome: {missing}; {self.detect.tail()}")
        finally:
            await consumer.stop()
        return found

    async def require_unharmed(self):
        """The same processes are healthy, and were never restarted."""
        async with aiohttp.ClientSession() as session:
            for worker in (self.detect, self.identify):
                worker.check()
                async with session.get(f"{worker.address}/health") as answer:
                    assert answer.status == 200
                log = worker.log.read_text(errors="replace")
                assert len(re.findall(r"serves http", log)) == 1
                assert "unexpected_error" not in log, log[-3000:]


def _letter(message):
    headers = dict(message.headers)
    address = (
        headers["dlq_topic"].decode(),
        int(headers["dlq_partition"]),
        int(headers["dlq_offset"]),
    )
    return address, headers["dlq_reason"].decode()


def _id(address):
    return "/".join(map(str, address))


async def _ledger(records, run, topic):
    async with records._connection("test") as connection:
        rows = await connection.fetch(
            "SELECT id, outcome FROM events WHERE starts_with(id, $1) OR starts_with(id, $2)",
            run,
            topic.removesuffix("camera.frames"),
        )
    return {row["id"]: row["outcome"] for row in rows}


def memory(pid, field="VmRSS"):
    """Resident memory of a process in bytes: now, or (VmHWM) the most that it ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) * 1024


@pytest.fixture(scope="module")
async def site(prepared, environment, tmp_path_factory):
    prefix = f"hostile{uuid4().hex[:6]}."
    kafka = prepared.kafka.model_copy(update={"topic_prefix": prefix})
    settings = prepared.model_copy(update={"kafka": kafka})
    await initialise(settings, [], lambda _line: None)
    own = environment | {"FECAPASS_KAFKA__TOPIC_PREFIX": prefix}
    producer = create_producer(kafka, max_request_size=80 * 1024 * 1024)
    await producer.start()
    try:
        async with running_workers(
            ["detect", "identify"], own, tmp_path_factory.mktemp("hostile")
        ) as workers:
            yield Site(settings, workers, producer)
    finally:
        await producer.stop()


@pytest.fixture
async def store(site):
    async with Crops(site.settings.s3) as crops:
        yield crops


def named(site, images):
    """Messages with the contract's headers: one for each image."""
    messages = {}
    for number, (title, value) in enumerate(images.items()):
        name = f"{site.run}-{number}-{title}".replace(" ", "_")
        messages[name] = {"value": value, "headers": site.contract(name)}
    return messages


async def check(site, records, allowed):
    """Every message ended as it may, every good neighbour with its face; the workers live."""
    found = await site.outcomes(records)
    bad = {name: found[name] for name in site.good if found[name] != "faces"}
    assert bad == {}
    wrong = {
        name: outcome
        for name, outcome in found.items()
        if name not in site.good and outcome not in allowed
    }
    assert wrong == {}
    await site.require_unharmed()
    outcomes = Counter(found.values())
    site.sent.clear()
    site.good.clear()
    return found, outcomes


async def test_hostile_files_and_mutations(site, records, shared):
    """All files of the collection, and valid pictures that were tampered with."""
    random = Random(20261124)
    images = {path.name: path.read_bytes() for path in (shared / "data/hostile").iterdir()}
    seeds = [*decompression_bombs.seeds(), *site.faces[:3], photos.astronaut_of_width(256)]
    for number in range(MUTATIONS):
        images[f"mutation-{number}"] = decompression_bombs.mutated(random.choice(seeds), random)
    images |= decompression_bombs.odd_pictures()
    await site.hostile(named(site, images))
    _, outcomes = await check(site, records, {"faces", "no_face", *IMAGE_REASONS})
    assert outcomes["corrupt"] > 20
    assert outcomes["unsupported_format"] > 5
    assert outcomes["no_face"] > 5


async def test_bombs_and_giants(site, records, store):
    """What is slow or large to decode is refused, or decoded within the stated memory."""
    giant = decompression_bombs.smooth(6900, 7000)
    random = np.random.default_rng(0)
    images = decompression_bombs.bombs() | {
        "bomb png": photos.bomb(),
        "bomb jpeg": pictures.bomb_jpeg(60_000),
        "bomb webp": pictures.bomb_webp(16_000),
        "giant jpeg": pictures.encoded(".jpg", giant),
        "giant progressive": pictures.encoded(".jpg", giant, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "giant png": decompression_bombs.png(7000, 7000, depth=16, colour=6),
        "giant webp": pictures.encoded(".webp", giant, cv2.IMWRITE_WEBP_QUALITY, 10),
        "noise": random.bytes(7_900_000),
        "noise with a head": b"\xff\xd8\xff\xe0" + random.bytes(7_900_000),
        "empty": b"",
        "50 MB": b"\xff\xd8\xff" + bytes(50 * 1024 * 1024),
    }
    await site.send_good()
    await asyncio.sleep(2)
    before = memory(site.detect.pid)
    for _ in range(2):
        # Again and again, so that batches are full of giants and several overlap.
        site_messages = named(site, {f"{name} {uuid4().hex[:4]}": v for name, v in images.items()})
        await site.hostile(site_messages)
        giants = {
            f"{n} {k} {uuid4().hex[:4]}": v
            for k in range(3)
            for n, v in images.items()
            if n.startswith("giant")
        }
        await asyncio.gather(
            *(site.send(name, **message) for name, message in named(site, giants).items())
        )
    for number, data in enumerate((bytes(50 * 1024 * 1024), images["giant jpeg"], photos.bomb())):
        dataref = await store.store_source(f"frames/{site.run}-{number}", data)
        for copy in range(6):
            name = f"{site.run}-claim-{number}-{copy}"
            headers = [*site.contract(name), ("ce_dataref", dataref.encode())]
            await site.send(name, b"", headers=headers)
    await site.send_good()
    found, outcomes = await check(
        site, records, {"faces", "no_face", *IMAGE_REASONS, *CLAIM_REASONS}
    )
    peak, after = memory(site.detect.pid, "VmHWM"), memory(site.detect.pid)
    figures = f"{before >> 20} MiB before, at most {peak >> 20}, {after >> 20} after"
    assert before < peak < MOST_MEMORY, figures
    assert after < MOST_MEMORY / 2, figures
    assert outcomes["too_complex"] >= 8
    assert outcomes["too_many_pixels"] >= 6
    assert {found[name] for name in found if "-claim-0" in name} == {"too_large"}
    assert {found[name] for name in found if "-claim-1" in name} == {"no_face"}
    assert {found[name] for name in found if "giant" in name} == {"no_face"}
    refused = dict.fromkeys(site.refused, "too_many_bytes")
    large = {name: why for name, why in (found | refused).items() if "50_MB" in name}
    assert list(large.values()) == ["too_many_bytes"] * 2


def envelopes(site):
    """Messages whose key and headers are not as they should be, the picture good."""
    picture = site.faces[0]

    def headers(**changes):
        merged = dict(site.contract("x")) | changes
        return [(name, value) for name, value in merged.items() if value is not None]

    def dataref(text):
        return {"value": b"", "headers": headers(ce_dataref=text)}

    odd = {
        "no id": {"headers": headers(ce_id=None)},
        "empty id": {"headers": headers(ce_id=b"")},
        "no source": {"headers": headers(ce_source=None)},
        "no type": {"headers": headers(ce_type=None)},
        "wrong type": {"headers": headers(ce_type=b"com.example")},
        "old version": {"headers": headers(ce_specversion=b"0.1")},
        "version of bytes": {"headers": headers(ce_specversion=b"\xff\xfe")},
        "time of bytes": {"headers": headers(ce_time=b"\x80")},
        "time out of range": {"headers": headers(ce_time=b"9999-12-31T23:59:59-14:00")},
        "id of 10 kB": {"headers": headers(ce_id=b"i" * 10_000)},
        "id with zero": {"headers": headers(ce_id=b"a\0b")},
        "header of 1 MB": {"headers": headers(ce_source=b"s" * 1_000_000)},
        "10,000 headers": {"headers": [*headers(ce_id=None), *[("x", b"y")] * 10_000]},
        "repeated": {"headers": [*headers(ce_id=b"a"), ("ce_id", b""), ("CE_ID", b"")]},
        "structured": {"headers": headers(**{"content-type": b"application/cloudevents+json"})},
        "key of bytes": {"headers": headers(), "key": b"\xff\xfe\xfd"},
        "key of 10 kB": {"headers": headers(), "key": b"k" * 10_000},
        "key with line end": {"headers": headers(), "key": b"a\nb"},
        "empty value": {"value": b"", "headers": headers()},
        "dataref of bytes": dataref(b"\xff\xff"),
        "dataref elsewhere": dataref(b"file:///etc/passwd"),
        "dataref of another bucket": dataref(b"s3://secrets/key"),
        "dataref of nothing": dataref(f"s3://{site.settings.s3.bucket}/nothing".encode()),
        "dataref upwards": dataref(f"s3://{site.settings.s3.bucket}/../../x".encode()),
        "dataref of 10 kB": dataref(f"s3://{site.settings.s3.bucket}/{'k' * 10_000}".encode()),
    }
    return {
        f"{site.run}-{name}": {"value": picture, "key": b"door"} | one for name, one in odd.items()
    }


async def test_envelopes_that_are_none(site, records):
    await site.hostile(envelopes(site))
    _, outcomes = await check(site, records, {*ENVELOPE_REASONS, *CLAIM_REASONS})
    assert {"bad_header", "bad_key", "missing_attribute", "bad_time"} <= outcomes.keys()
    assert {"bad_dataref", "forbidden_bucket", "not_found"} <= outcomes.keys()


async def test_a_wrong_content_type_does_not_matter(site, records):
    """The type of an image is recognised from its bytes."""
    messages = {}
    for kind in ("text/html", "image/png", "application/octet-stream", "", "\N{SNOWMAN}"):
        name = f"{site.run}-type-{len(messages)}"
        headers = [*site.contract(name), ("content-type", kind.encode())]
        messages[name] = {"value": site.faces[3], "headers": headers}
    await site.hostile(messages)
    found, _ = await check(site, records, {"faces"})
    assert set(found.values()) == {"faces"}


async def test_anything_on_the_internal_topic(site, records):
    """Identify, too, takes whatever bytes come, and its batch goes on."""
    random = Random(7)

    def good(number):
        event = replace(FOUND.event, id=f"{site.run}-sound-{number}")
        return pack(
            replace(FOUND, event=event, faces=(replace(FACE, embedding=embedding(1, 128)),))
        )

    values = {name: pack(found) for name, (found, _) in UNSOUND.items()}
    values["another dimension"] = pack(replace(FOUND, faces=(FACE,)))
    values["empty"] = b""
    values["deep"] = b"\x81\xa7unknown" + b"\x91" * 1_000_000
    for number in range(MUTATIONS):
        values[f"bytes {number}"] = random.randbytes(random.randrange(200))
        tampered = bytearray(good(0))
        tampered[random.randrange(len(tampered))] = 0xFF
        values[f"tampered {number}"] = bytes(tampered[: random.randrange(len(tampered))])
    topic = site.topics.detected
    for number, (name, value) in enumerate(values.items()):
        await site.send(f"{site.run}-internal-{name}", value, topic=topic)
        await site.send(f"{site.run}-sound-{number}", good(number), topic=topic)
        site.good.append(f"{site.run}-sound-{number}")
    allowed = {"bad_encoding", "bad_detection", "bad_embedding", "bad_crop", "wrong_dimension"}
    found, outcomes = await check(site, records, allowed)
    assert allowed <= outcomes.keys()
    for name, (_, reason) in UNSOUND.items():
        assert found[f"{site.run}-internal-{name}"] == reason


async def test_the_workers_still_stop_normally(site):
    await site.require_unharmed()
    os.kill(site.detect.pid, signal.SIGTERM)
    await asyncio.to_thread(site.detect._process.wait, 40)
    assert site.detect.returncode == 0
