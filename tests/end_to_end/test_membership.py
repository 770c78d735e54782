"""Joining and leaving the group, on Apache Kafka itself: the embedded broker is another program."""

import asyncio
import signal

import pytest

from config.settings import DetectSettings, KafkaSettings
from infra.database.create_topics import ensure_topics
from tests.end_to_end.delivery import FAST, Bench, until

pytestmark = pytest.mark.waits

SESSION = 15


@pytest.fixture(scope="module")
def broker():
    from tests.containers import kafka, missing_engine

    if reason := missing_engine():
        pytest.skip(reason)
    server = kafka()
    try:
        server.start()
        yield f"localhost:{server.port}"
    finally:
        server.remove()


@pytest.fixture
async def own(broker, tmp_path, request):
    kafka = KafkaSettings(
        bootstrap_servers=broker,
        topic_prefix=f"{request.node.name.replace('_', '-')[:40]}.",
        frames_partitions=2,
        uploads_partitions=2,
    )
    await ensure_topics(kafka, lambda _line: None)
    environment = {
        **FAST,
        "KAFKA__BOOTSTRAP_SERVERS": broker,
        "KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "KAFKA__SESSION_TIMEOUT": str(SESSION),
        "KAFKA__FETCH_MAX_WAIT": "0.05",
    }
    made = Bench(
        DetectSettings(kafka=kafka),
        {f"FECAPASS_{name}": value for name, value in environment.items()},
        tmp_path,
    )
    try:
        yield made
    finally:
        for worker in made.workers:
            if worker.returncode is None:
                worker.send(signal.SIGKILL)
                await worker.ended(10)


def joined(own, worker):
    """How often a worker was assigned partitions."""
    return own.noted("assigned").count(str(worker.pid))


async def settled(own, workers):
    """Wait until the workers share the partitions and none is assigned again for some time."""
    await until(lambda: all(joined(own, worker) for worker in workers))
    before = None
    while before != own.noted("assigned"):
        before = own.noted("assigned")
        await asyncio.sleep(4)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_named_worker_that_restarts_in_time_disturbs_no_other(own, number):
    """Static membership: a rolling restart is no rebalance."""
    stays = own.start(WORKERS__INSTANCE_ID="one")
    leaves = own.start(WORKERS__INSTANCE_ID="two")
    await settled(own, [stays, leaves])
    before = joined(own, stays)
    leaves.send(number)
    await leaves.ended(30)
    returns = own.start(WORKERS__INSTANCE_ID="two")
    await until(lambda: joined(own, returns))
    for partition in (0, 1):
        await own.publish(*["ok"] * 5, partition=partition)
    await until(lambda: len(set(own.noted("done"))) == 10)
    await asyncio.sleep(SESSION)
    assert joined(own, stays) == before
    assert len(own.noted("done")) == 10


async def test_workers_join_and_leave_without_a_loss_or_a_double(own):
    """A rolling restart of nameless workers, each stopped in order, under load."""
    workers = [own.start(OVERLAP="2", BATCH_SIZE="4")]
    await until(lambda: joined(own, workers[0]))
    sent = []

    async def publish():
        for number in range(120):
            sent.extend(await own.publish("slow 0.02", partition=number % 2))

    publishing = asyncio.create_task(publish())
    for _ in range(3):
        workers.append(own.start(OVERLAP="2", BATCH_SIZE="4"))
        await until(lambda: joined(own, workers[-1]))
        leaver = workers[-2]
        leaver.send(signal.SIGTERM)
        code, seconds = await leaver.ended(30)
        assert (code, seconds < 15) == (0, True), leaver.tail()
    await publishing
    await until(lambda: set(sent) <= set(own.noted("done")))
    assert len(own.noted("done")) == len(sent)


async def test_an_outage_longer_than_session_and_poll_interval_moves_nothing(own):
    """As in test_faust_hazards, where the broker is the one whose rules they are."""
    back = own.folder / "back"
    await own.publish(*[f"wait {back}"] * 120)
    workers = [own.start(OVERLAP="2", BATCH_SIZE="4", KAFKA__SESSION_TIMEOUT="6")]
    await until(lambda: own.noted("begin"))
    await asyncio.sleep(20)
    assert joined(own, workers[0]) == 1
    back.touch()
    await until(lambda: len(own.noted("done")) == 120)
    assert joined(own, workers[0]) == 1
