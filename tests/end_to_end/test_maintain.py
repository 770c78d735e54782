"""``fecapass maintain`` as a process of its own."""

import asyncio
from uuid import uuid4

import aiohttp

from domain.events import utc_now
from domain.object_keys import crop_key
from infra.demo.demo_errors import DemoError
from infra.demo.demo_workers import ListeningProcess


async def page(url):
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def until(condition, process):
    async with asyncio.timeout(60):
        while True:
            process.check()
            try:
                if await condition():
                    return
            except DemoError:
                pass  # it does not listen yet
            await asyncio.sleep(0.1)


def maintaining(environment, folder, **changes):
    """The process with settings changed."""
    changed = {f"FECAPASS_{name}": value for name, value in changes.items()}
    return ListeningProcess(
        ("maintain", "--health-port", "0"),
        environment | changed | {"FECAPASS_WORKERS__HEALTH_HOST": "127.0.0.1"},
        folder / "log",
    )


async def test_it_repairs_reports_and_stops(prepared, environment, crops, tmp_path):
    key = crop_key(uuid4().hex, utc_now(), uuid4())
    await crops.put(key, b"jpeg")
    process = maintaining(
        environment, tmp_path, MAINTENANCE__INTERVAL="0.5", MAINTENANCE__GRACE="0"
    )
    try:

        async def repaired():
            _, text = await page(f"{process.address}/metrics")
            return (
                not await crops.exists(key)
                and "fecapass_maintenance_last_success_timestamp_seconds 1." in text
                and 'fecapass_faults_repaired_total{fault="crop_without_row"}' in text
            )

        await until(repaired, process)
        status, text = await page(f"{process.address}/health")
        assert status == 200, text
        assert "fecapass-maintain" in text
    finally:
        await process.stop(10)
    assert process.returncode == 0, process.tail()


async def test_an_unavailable_store_is_reported_and_retried(environment, tmp_path):
    process = maintaining(environment, tmp_path, MAIN_DB__PORT="1", MAINTENANCE__RETRY="0.2")
    try:

        async def told():
            status, text = await page(f"{process.address}/health")
            return status == 503 and "main database" in text

        async def tried_again():
            _, text = await page(f"{process.address}/metrics")
            return "fecapass_maintenance_failures_total 3." in text

        await until(told, process)
        await until(tried_again, process)
    finally:
        await process.stop(10)
    assert process.returncode == 0, process.tail()
