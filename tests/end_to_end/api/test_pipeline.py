"""What the API says of the pipeline: with workers of its own, that are killed and started."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator
from time import monotonic

import httpx
import pytest
import pytest_asyncio

from config.settings import Settings
from infra.database.init_db import initialise
from infra.demo.demo_workers import Worker
from infra.demo.gateway import Gateway
from infra.embedded.stack import settings_from
from infra.operations.diagnosis import examine
from streams.clients.client_factory import create_producer
from streams.contract.topics import ROLES, Topics
from tests.end_to_end import photos
from tests.end_to_end.api.cameras import send_frames
from tests.end_to_end.api.conftest import bearer, new_key, running_app, until
from tests.end_to_end.api.heartbeats import heartbeats

PIPELINE = "/api/v1/pipeline"


@pytest.fixture(scope="module")
def own_environment(environment) -> dict[str, str]:
    """Topics and groups of this module's own, so that no other worker reports here."""
    return environment | {
        "FECAPASS_KAFKA__TOPIC_PREFIX": f"p{secrets.token_hex(4)}.",
        "FECAPASS_KAFKA__SESSION_TIMEOUT": "10",
        "FECAPASS_API__AUTH": "true",
    }


@pytest_asyncio.fixture(scope="module")
async def own(own_environment) -> Settings:
    settings = settings_from(own_environment)
    await initialise(settings, [], lambda _line: None)
    return settings


@pytest_asyncio.fixture(scope="module")
async def api(own, own_environment, tmp_path_factory) -> AsyncIterator[httpx.AsyncClient]:
    process = Gateway(own_environment, tmp_path_factory.mktemp("api"), usual=0)
    try:
        await process.ready()
        headers = bearer(await new_key(own, "read"))
        async with httpx.AsyncClient(
            base_url=process.address, headers=headers, timeout=30
        ) as client:
            yield client
    finally:
        await process.stop(20)


async def health_becomes(api, wanted, seconds=90.0):
    """The first health of which a condition is true; every one of them has a right status."""
    body = {}
    try:
        async with asyncio.timeout(seconds):
            while True:
                answer = await api.get("/health")
                body = answer.json()
                assert answer.status_code == (200 if body["status"] == "ok" else 503)
                assert (body["status"] == "ok") is (body["problems"] == [])
                if wanted(body):
                    return body
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"health stays {body}") from None


def says(text):
    return lambda body: any(text in problem for problem in body["problems"])


def is_well(body):
    return body["status"] == "ok"


async def test_field_24_health_reports_workers_that_are_killed_stopped_and_started(
    api, own, own_environment, tmp_path
):
    topics = Topics(own.kafka.topic_prefix)
    # No worker has ever been there.
    body = await health_becomes(api, says("no identify worker has reported for"))
    assert says("no detect worker has reported for")(body)
    assert says("no follow worker has reported for")(body)
    assert body["status"] == body["pipeline"]["status"] == "degraded"
    assert {check["status"] for check in body["checks"].values()} == {"ok"}
    ready = await api.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "ok")

    detect = Worker("detect", own_environment, tmp_path / "detect")
    identify = Worker("identify", own_environment, tmp_path / "identify")
    follow = Worker("follow", own_environment, tmp_path / "follow")
    try:
        await asyncio.gather(detect.ready(), identify.ready(), follow.ready())
        await health_becomes(api, is_well)
        first, second, third = (await api.get(PIPELINE)).json()["instances"]
        assert (first["role"], first["state"]) == ("detect", "running")
        assert (second["role"], second["state"]) == ("follow", "running")
        assert (third["role"], third["state"]) == ("identify", "running")
        assert second["partitions"] == {topics.matches: list(range(8))}
        assert first["execution_provider"]
        assert first["partitions"][topics.frames] == list(range(8))

        # A worker that is killed says nothing any more.
        os.kill(identify.pid, signal.SIGKILL)
        killed = monotonic()
        producer = create_producer(own.kafka)
        await producer.start()
        await send_frames(producer, topics, "door-24", photos.carphone(4))
        await producer.stop()
        body = await health_becomes(api, says("no identify worker has reported for"), 30)
        assert monotonic() - killed < 21
        assert not says("detect worker")(body)
        assert body["pipeline"]["workers"]["identify"]["lost"] == 1
        behind = await health_becomes(
            api, lambda body: body["pipeline"]["lag"]["identify"]["messages"] == 4
        )
        seconds = behind["pipeline"]["lag"]["identify"]["seconds"]
        await health_becomes(
            api, lambda body: body["pipeline"]["lag"]["identify"]["seconds"] > seconds
        )
        assert (await api.get("/health/ready")).status_code == 200
        detail = (await api.get(PIPELINE)).json()
        assert [one["state"] for one in detail["instances"]] == ["running", "running", "lost"]

        # Another one takes its place.
        identify = Worker("identify", own_environment, tmp_path / "another")
        await identify.ready()
        done = {"messages": 0, "seconds": 0.0}
        await health_becomes(
            api, lambda body: is_well(body) and body["pipeline"]["lag"]["identify"] == done
        )
        detail = (await api.get(PIPELINE)).json()
        (door,) = (one for one in detail["cameras"] if one["camera_id"] == "door-24")
        assert 0 <= door["age_seconds"] < 300
        await tells_of_a_gallery(api)

        await misses_at_once(api, own, detect)
    finally:
        await asyncio.gather(detect.stop(30), identify.stop(30), follow.stop(30))


async def tells_of_a_gallery(api):
    """The model came with the first frame; the next heartbeat tells of its gallery."""

    async def ages():
        instances = (await api.get(PIPELINE)).json()["instances"]
        galleries = [gallery for one in instances for gallery in one["galleries"]]
        return [gallery["age_seconds"] for gallery in galleries]

    assert (await until(ages))[0] < 5


async def misses_at_once(api, own, detect):
    """A worker that stops in order says so."""
    await detect.stop(30)
    stopped = monotonic()
    await health_becomes(api, says("no detect worker has reported for"))
    assert monotonic() - stopped < 5
    assert (await api.get(PIPELINE)).json()["instances"][0]["state"] == "left"
    findings = {one.part: one for one in await examine(own)}
    assert findings["pipeline"].status == "degraded"
    assert "no detect worker has reported for" in findings["pipeline"].detail


@pytest_asyncio.fixture
async def bare(own, environment) -> Settings:
    """Topics that no worker has ever used."""
    prefix = f"q{secrets.token_hex(4)}."
    settings = settings_from(environment | {"FECAPASS_KAFKA__TOPIC_PREFIX": prefix})
    await initialise(settings, [], lambda _line: None)
    return settings


async def test_field_24_a_worker_that_reports_a_failure_is_not_well(bare):
    async with heartbeats(bare) as send, running_app(bare, auth=False) as api:

        async def beat(**identify):
            await send("detect", interval=30.0)
            await send("identify", interval=30.0, **identify)
            await send("follow", interval=30.0)

        await beat()
        await health_becomes(api, is_well, 20)
        await beat(problems=("gallery sface-2021dec",))
        body = await health_becomes(api, says("1 of 1 identify worker is not healthy: gallery"), 20)
        assert body["pipeline"]["workers"]["identify"]["unhealthy"] == 1


async def test_field_24_partitions_without_a_worker_are_counted(bare):
    topics = Topics(bare.kafka.topic_prefix)
    async with heartbeats(bare) as send, running_app(bare, auth=False) as api:
        await send("detect", interval=30.0)
        await send("follow", interval=30.0)
        await send("identify", "a", interval=30.0, partitions={topics.detected: (0, 1, 2, 3)})
        wanted = "4 of 8 partitions have no identify worker"
        await health_becomes(api, says(wanted), 20)
        await send("identify", "b", interval=30.0, partitions={topics.detected: (4, 5, 6, 7)})
        await health_becomes(api, is_well, 20)


async def test_field_24_an_api_that_starts_later_knows_what_was_said_before(bare):
    async with heartbeats(bare) as send:
        for role in ROLES:
            await send(role, interval=30.0)
        async with running_app(bare, auth=False) as api:
            await health_becomes(api, is_well, 20)


async def test_field_24_garbage_on_the_topic_of_heartbeats_harms_nothing(bare, caplog):
    topics = Topics(bare.kafka.topic_prefix)
    producer = create_producer(bare.kafka)
    await producer.start()
    for value in (None, b"", b"{}", b"\xff" * 10, b"[" * 100_000, b'{"instance": 1}'):
        await producer.send_and_wait(topics.heartbeats, value, key=b"x")
    await producer.stop()
    async with heartbeats(bare) as send, running_app(bare, auth=False) as api:
        for name in ("", "a" * 10_000):
            await send("detect", name, interval=30.0)
        for role in ("mystery", "identify", "follow"):
            await send(role, interval=30.0)
        body = await health_becomes(api, is_well, 20)
        assert body["pipeline"]["workers"]["detect"]["running"] == 1
    ended = [one for one in caplog.messages if "hear-heartbeats ended" in one]
    assert all(": Kafka" in one for one in ended), "a busy broker may be slow, no more"


async def test_field_24_a_missing_topic_is_reported_by_name_and_the_api_still_serves(environment):
    prefix = f"n{secrets.token_hex(4)}."
    settings = settings_from(environment | {"FECAPASS_KAFKA__TOPIC_PREFIX": prefix})
    async with running_app(settings, auth=False) as api:
        body = await health_becomes(api, says("run fecapass init-db"), 30)
        assert body["pipeline"]["status"] == "unknown"
        await initialise(settings, [], lambda _line: None)
        await health_becomes(api, says("no detect worker has reported for"), 30)


async def test_field_24_health_gives_no_names_away(bare):
    async with heartbeats(bare) as send, running_app(bare, auth=True) as api:
        await send("detect", "gpu-host-7", interval=30.0)
        await send("identify", "secret-host", interval=30.0)
        await send("follow", "quiet-host", interval=30.0)
        await health_becomes(api, is_well, 20)
        text = (await api.get("/health")).text
        assert "gpu-host" not in text
        assert "secret-host" not in text
        assert (await api.get(PIPELINE)).status_code == 401
        without = bearer(await new_key(bare, "enrol"))
        assert (await api.get(PIPELINE, headers=without)).status_code == 403
        reading = bearer(await new_key(bare, "read"))
        names = [
            one["instance"]
            for one in (await api.get(PIPELINE, headers=reading)).json()["instances"]
        ]
        assert names == ["gpu-host-7", "quiet-host", "secret-host"]
