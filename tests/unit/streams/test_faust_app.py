import asyncio
from time import monotonic, time
from types import SimpleNamespace

import pytest
from faust import Event
from faust.types import TP, ConsumerMessage

from config.settings import KafkaSettings, WorkerSettings
from streams.faust.faust_app import _message_of, create_app


def consumer_of(app):
    """A worker's consumer, which is not started."""
    return app.transport.create_consumer(
        lambda _message: None,
        on_partitions_revoked=lambda _revoked: None,
        on_partitions_assigned=lambda _assigned: None,
    )


async def test_a_worker_leaves_nothing_in_the_directory_it_is_started_in(tmp_path, monkeypatch):
    """It may be a read-only one; Faust would make directories for tables that there are none of."""
    monkeypatch.chdir(tmp_path)
    app = create_app("detect", KafkaSettings(), WorkerSettings())
    await app.on_first_start()
    assert list(tmp_path.iterdir()) == []


def test_of_a_message_that_the_worker_has_faust_keeps_no_bytes():
    """Each may have headers of a megabyte."""
    headers = (("ce_id", b"i" * 1_000_000),)
    message = ConsumerMessage("camera.frames", 0, 7, time(), 0, headers, b"door-1", b"image", None)
    event = Event(None, message.key, message.value, message.headers, message)
    delivery = _message_of(event)
    assert (delivery.key, delivery.value, delivery.headers) == (b"door-1", b"image", headers)
    assert (delivery.offset, delivery.partition.topic) == (7, "camera.frames")
    kept = (message.key, message.value, message.headers, event.key, event.value, event.headers)
    assert not any(kept)


async def test_field_18_a_partition_that_was_idle_and_has_a_backlog_is_no_error(caplog):
    """Faust compares with the last message, which came before the five minutes of silence."""
    app = create_app("detect", KafkaSettings(), WorkerSettings())
    consumer = consumer_of(app)
    partition = TP("camera.frames", 0)
    state = SimpleNamespace(highwater=90, lso=90, position=40, timestamp=time() * 1000)
    assignment = SimpleNamespace(active=True, state_value=lambda _tp: state, tps={partition})
    subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
    thread = consumer._thread
    thread._consumer = SimpleNamespace(
        assignment=lambda: {partition},
        _fetcher=SimpleNamespace(_subscriptions=subscription),
        _subscription=subscription,
    )
    thread.time_started = monotonic() - 1000
    app.topics.acks_enabled_for = lambda _topic: True
    app.monitor.stream_inbound_time[partition] = monotonic() - 400
    thread.verify_event_path(monotonic(), partition)
    assert "Stream stopped processing" in caplog.text  # of Faust's own, if it were asked
    caplog.clear()
    await consumer.verify_all_partitions_active()
    assert caplog.text == ""


async def test_field_27_a_time_limit_ends_the_wait_for_a_commit_that_hangs():
    """Faust would take the cancellation for that of the commit in progress, and commit again."""
    app = create_app("detect", KafkaSettings(), WorkerSettings())
    consumer = consumer_of(app)
    assert not await consumer.maybe_wait_for_commit_to_finish()
    hanging = consumer._commit_fut = asyncio.get_running_loop().create_future()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await consumer.commit()
    assert not hanging.done(), "it is another's commit"
    waiting = asyncio.create_task(consumer.maybe_wait_for_commit_to_finish())
    await asyncio.sleep(0)
    hanging.set_result(None)
    assert await waiting
