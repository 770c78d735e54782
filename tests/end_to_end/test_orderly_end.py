"""A worker that is stopped ends normally and in time, whatever does not answer."""

import asyncio
import os
import signal
from contextlib import contextmanager
from time import monotonic

import pytest

from infra.embedded.server_processes import children
from tests.chaos.proxy import Proxy
from tests.end_to_end.conftest import running_workers

#: Work in hand may take 20 s; here there is none.
BOUND = 15


async def ended(worker):
    """Exit code of a stopped worker, and the seconds that the stop took."""
    began = monotonic()
    os.kill(worker.pid, signal.SIGTERM)
    async with asyncio.timeout(60):
        while worker.returncode is None:  # noqa: ASYNC110 - a process has no event to wait for
            await asyncio.sleep(0.05)
    return worker.returncode, monotonic() - began


@contextmanager
def frozen(server):
    pids = [server.record.pid, *children(server.record.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("seconds_before", [0.5, 2])
async def test_field_27_a_worker_ends_in_order_though_the_broker_stands_still(
    prepared, environment, stack, tmp_path, seconds_before
):
    broker = stack.servers["kafka"] if hasattr(stack, "servers") else None
    if getattr(broker, "record", None) is None:
        pytest.skip("only the embedded broker can be stopped for a while here")
    async with running_workers(["detect", "identify"], environment, tmp_path) as workers:
        with frozen(broker):
            await asyncio.sleep(seconds_before)  # heartbeats and fetches are out
            for code, seconds in await asyncio.gather(*map(ended, workers)):
                assert code == 0, [worker.tail() for worker in workers]
                assert seconds < BOUND


async def test_field_27_a_worker_ends_in_order_though_no_store_answers(
    prepared, environment, tmp_path
):
    ports = {
        "FECAPASS_MAIN_DB__PORT": prepared.main_db.port,
        "FECAPASS_VECTOR_DB__PORT": prepared.vector_db.port,
        "FECAPASS_REDIS__PORT": prepared.redis.port,
    }
    proxies = {name: Proxy(port) for name, port in ports.items()}
    for proxy in proxies.values():
        await proxy.start()
    behind = {name: str(proxy.port) for name, proxy in proxies.items()}
    try:
        async with running_workers(["identify"], environment | behind, tmp_path) as (worker,):
            for proxy in proxies.values():
                proxy.blackhole()
            await asyncio.sleep(2)  # the gallery asks, and is not answered
            code, seconds = await ended(worker)
            assert code == 0, worker.tail()
            assert seconds < BOUND
    finally:
        for proxy in proxies.values():
            await proxy.stop()
