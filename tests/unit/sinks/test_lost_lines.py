"""Who waits for a place in a pool, or for a name, when its connections are replaced."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import BotoCoreError

from config.settings import S3Settings
from sinks.objects.fast_put import DirectPuts
from sinks.objects.no_redirects import DirectSession


@asynccontextmanager
async def silent_server():
    """Takes connections, and never answers."""
    ends = asyncio.Event()
    arrived = asyncio.Event()

    async def swallow(_reader, writer):
        arrived.set()
        await ends.wait()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", arrived
    finally:
        ends.set()
        server.close()


async def test_field_27_a_put_that_waits_for_a_place_meets_an_outage_and_no_cancellation():
    settings = settings_of(read_timeout=0.2)
    async with silent_server() as (url, _), DirectPuts(settings, url, "") as puts, timeout():
        outcomes = await asyncio.gather(
            *(puts.put(f"crops/{number}.jpg", b"face", "image/jpeg") for number in range(3)),
            return_exceptions=True,
        )
    assert [type(one) for one in outcomes] == [OSError] * 3


async def test_field_27_a_request_that_waits_for_a_place_meets_an_outage_and_no_cancellation():
    async with (
        silent_server() as (url, arrived),
        DirectSession(max_pool_connections=1, timeout=60) as session,
        timeout(),
    ):
        asked = [asyncio.create_task(session.send(get(url))) for _ in range(2)]
        await arrived.wait()
        await asyncio.sleep(0)  # the second one waits for the first
        await session.forget_connections()
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(one, BotoCoreError) for one in outcomes] == [True, True], outcomes


async def test_field_27_who_ends_a_put_is_obeyed():
    settings = settings_of(read_timeout=60)
    async with silent_server() as (url, arrived), DirectPuts(settings, url, "") as puts, timeout():
        putting = asyncio.create_task(puts.put("crops/0.jpg", b"face", "image/jpeg"))
        await arrived.wait()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting


def settings_of(**changed):
    keys = {"access_key_id": "id", "secret_access_key": "of-no-store"}
    return S3Settings(**keys, max_connections=1, **changed)


def timeout():
    return asyncio.timeout(10)


def get(url):
    return AWSPreparedRequest("GET", url, {}, None, True)
