from time import time

from faust import Event
from faust.types import ConsumerMessage

from config.settings import KafkaSettings, WorkerSettings
from streams.app import _delivery, create_app


async def test_a_worker_leaves_nothing_in_the_directory_it_is_started_in(tmp_path, monkeypatch):
    """It may be a read-only one; Faust would make directories for tables that there are none of."""
    monkeypatch.chdir(tmp_path)
    app = create_app("detect", KafkaSettings(), WorkerSettings())
    await app.on_first_start()
    assert list(tmp_path.iterdir()) == []


def test_of_a_message_that_waits_to_be_acknowledged_faust_keeps_no_bytes():
    """A thousand may be finished behind one that waits, each with headers of a megabyte."""
    headers = (("ce_id", b"i" * 1_000_000),)
    message = ConsumerMessage("camera.frames", 0, 7, time(), 0, headers, b"door-1", b"image", None)
    event = Event(None, message.key, message.value, message.headers, message)
    delivery = _delivery(event)
    assert (delivery.key, delivery.value, delivery.headers) == (b"door-1", b"image", headers)
    assert (delivery.offset, delivery.partition.topic) == (7, "camera.frames")
    kept = (message.key, message.value, message.headers, event.key, event.value, event.headers)
    assert not any(kept)
