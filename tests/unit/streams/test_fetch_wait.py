"""Idle consumers let the broker hold a fetch longer, and busy ones do not."""

from types import SimpleNamespace

import pytest

from streams.clients.fetch_wait import FetchWait


@pytest.mark.parametrize(("busy", "idle_ms"), [(0.02, 200), (0.5, 500), (0.0001, 200)])
def test_the_wait_is_longer_while_no_message_arrives_but_never_shorter(busy, idle_ms):
    wait = FetchWait(busy)
    busy_ms = max(1, int(busy * 1000))
    assert wait.milliseconds(0.0) == idle_ms
    wait.received(100.0)
    assert [wait.milliseconds(now) for now in (100.0, 102.0, 102.1, 500.0)] == [
        busy_ms,
        busy_ms,
        idle_ms,
        idle_ms,
    ]
    wait.received(500.0)
    consumer = SimpleNamespace(_fetcher=SimpleNamespace(_fetch_max_wait_ms=7))
    wait.apply(consumer, 500.0)
    assert consumer._fetcher._fetch_max_wait_ms == busy_ms
    assert wait.milliseconds(500.0) == busy_ms


def test_a_release_of_aiokafka_that_keeps_the_wait_elsewhere_is_refused():
    with pytest.raises(RuntimeError, match="_fetch_max_wait_ms"):
        FetchWait(0.5).apply(SimpleNamespace(_fetcher=None), 0.0)
