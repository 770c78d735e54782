import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from config.network.http_proxies import ProxyUrl
from sinks.objects.crops import Crops
from sinks.store_errors import StoreRejected, StoreUnavailable
from tests.contract.builders import unique


async def test_an_object_is_read_as_it_was_written(crops):
    key = f"crops/{unique('a')}.jpg"
    assert not await crops.exists(key)
    await crops.put(key, b"first")
    await crops.put(key, b"second")
    assert await crops.exists(key)
    assert await crops.get(key) == b"second"


async def test_many_are_put_and_deleted(crops):
    folder = unique("many")
    items = {f"crops/{folder}/{n}.jpg": b"%d" % n for n in range(200)}
    await crops.put_many(items.items())
    got = await asyncio.gather(*(crops.get(key) for key in items))
    assert got == list(items.values())
    deleted, kept = list(items)[:150], list(items)[150:]
    await crops.delete_many([*deleted, f"crops/{folder}/never-there.jpg"])
    assert [await crops.exists(key) for key in (*deleted[:3], *kept[:3])] == [False] * 3 + [
        True
    ] * 3
    await crops.put_many([])
    await crops.delete_many([])


async def test_a_missing_object_is_rejected(crops):
    with pytest.raises(StoreRejected) as caught:
        await crops.get(unique("nothing"))
    assert caught.value.reason == "not_found"


@pytest.mark.parametrize("key", ["frames/a b+c%2F~é=.jpg", "frames/=2E.=2F..=2Fetc.jpg"])
async def test_a_source_is_fetched_by_its_address(crops, key):
    dataref = await crops.store_source(key, b"x" * 1000)
    assert dataref == f"s3://{crops.bucket}/{key}"
    assert await crops.fetch(dataref, max_bytes=1000) == b"x" * 1000
    with pytest.raises(StoreRejected) as caught:
        await crops.fetch(dataref, max_bytes=999)
    assert caught.value.reason == "too_large"


async def test_refusing_a_large_object_leaves_the_connection_pool_whole(prepared):
    settings = prepared.s3.model_copy(update={"max_connections": 2})
    async with Crops(settings) as crops:
        dataref = await crops.store_source(f"frames/{unique('big')}", b"x" * 5_000_000)
        for _ in range(6):
            with pytest.raises(StoreRejected):
                await crops.fetch(dataref, max_bytes=10)
        async with asyncio.timeout(5):
            assert len(await crops.fetch(dataref, max_bytes=5_000_000)) == 5_000_000


@pytest.mark.parametrize(
    ("dataref", "reason"),
    [
        ("s3://foreign/frames/a.jpg", "forbidden_bucket"),
        ("s3://{bucket}/frames/nothing.jpg", "not_found"),
        ("s3://{bucket}/", "bad_dataref"),
        ("s3://{bucket}", "bad_dataref"),
        ("s3:///key", "bad_dataref"),
        ("s3://UPPER/key", "bad_dataref"),
        ("s3://{bucket}@evil/key", "bad_dataref"),
        ("http://169.254.169.254/latest", "bad_dataref"),
        ("file:///etc/passwd", "bad_dataref"),
        ("s3://{bucket}/" + "k" * 1025, "bad_dataref"),
        ("", "bad_dataref"),
    ],
)
async def test_a_bad_address_is_rejected(crops, dataref, reason):
    with pytest.raises(StoreRejected) as caught:
        await crops.fetch(dataref.replace("{bucket}", crops.bucket), max_bytes=10)
    assert caught.value.reason == reason


async def test_other_buckets_are_read_when_the_settings_name_them(prepared, crops):
    bucket = unique("publisher")
    async with Crops(prepared.s3.model_copy(update={"bucket": bucket})) as other:
        assert await other.ensure_bucket()
        assert not await other.ensure_bucket()
        dataref = await other.store_source("frames/a.jpg", b"theirs")
    with pytest.raises(StoreRejected):
        await crops.fetch(dataref, max_bytes=10)
    settings = prepared.s3.model_copy(update={"claim_check_buckets": (bucket,)})
    async with Crops(settings) as ours:
        assert await ours.fetch(dataref, max_bytes=10) == b"theirs"


async def test_a_missing_bucket_is_unavailable(prepared):
    async with Crops(prepared.s3.model_copy(update={"bucket": unique("missing")})) as crops:
        with pytest.raises(StoreUnavailable):
            await crops.ping()


async def test_wrong_credentials_are_an_outage_without_the_secret(prepared):
    secret = type(prepared.s3.secret_access_key)("planted-secret")
    async with Crops(prepared.s3.model_copy(update={"secret_access_key": secret})) as crops:
        with pytest.raises(StoreUnavailable) as caught:
            await crops.put("crops/a.jpg", b"")
    assert "planted-secret" not in str(caught.value)


async def test_an_absent_server_is_unavailable(nowhere):
    async with Crops(nowhere.s3) as crops:
        for call in (
            crops.ping(),
            crops.put("a", b""),
            crops.get("a"),
            crops.put_many([("a", b"")]),
        ):
            with pytest.raises(StoreUnavailable):
                await call
    with pytest.raises(StoreUnavailable):
        await crops.get("after closing")


async def test_ping(crops):
    await crops.ping()
    assert json.dumps(crops.store)  # a plain text


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@asynccontextmanager
async def answering(*answers):
    """A server that gives each connection the next answer; yields its port and the requests."""
    remaining, asked = list(answers), []

    async def answer(reader, writer):
        asked.append((await reader.readline()).decode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(remaining.pop(0))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], asked


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n"])
async def test_a_put_that_the_server_dropped_or_failed_is_tried_once_more(prepared, first):
    async with answering(first, OK) as (port, asked):
        settings = prepared.s3.model_copy(update={"endpoint_url": f"http://127.0.0.1:{port}"})
        async with Crops(settings) as crops:
            await crops.put("crops/a.jpg", b"x")
    assert len(asked) == 2


async def test_a_put_does_not_follow_a_redirection(prepared):
    elsewhere = (
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/elsewhere\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    async with answering(elsewhere) as (port, _):
        settings = prepared.s3.model_copy(update={"endpoint_url": f"http://127.0.0.1:{port}"})
        async with Crops(settings) as crops:
            with pytest.raises(StoreUnavailable, match="307"):
                await crops.put("crops/a.jpg", b"x")


@pytest.mark.parametrize("excluded", ["", "store.invalid:1"])
async def test_a_put_uses_the_environments_proxy_if_configured(prepared, monkeypatch, excluded):
    async with answering(OK) as (port, asked):
        # A proxy may be configured without its scheme.
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", excluded)
        settings = prepared.s3.model_copy(
            update={
                "endpoint_url": "http://store.invalid:1",
                "proxy_url": ProxyUrl("environment"),
            }
        )
        async with Crops(settings) as crops:
            if excluded:
                with pytest.raises(StoreUnavailable):
                    await crops.put("crops/a.jpg", b"x")
            else:
                await crops.put("crops/a.jpg", b"x")
    wanted = f"PUT http://store.invalid:1/{settings.bucket}/crops/a.jpg HTTP/1.1\r\n"
    assert asked == ([] if excluded else [wanted])


def redirection(*headers):
    lines = ["HTTP/1.1 301 Moved Permanently", *headers, "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (["x-amz-bucket-region: eu-west-1"], "region eu-west-1"),
        (["Location: https://127.0.0.1:1/BUCKET/frames/a.jpg"], "sends us elsewhere"),
    ],
    ids=["region", "scheme"],
)
async def test_field_05_a_wrong_endpoint_or_region_makes_no_dead_letters(prepared, headers, reason):
    """A redirection for every key is the deployment's fault, also for keys of other systems."""
    headers = [header.replace("BUCKET", prepared.s3.bucket) for header in headers]
    async with answering(*[redirection(*headers)] * 9) as (port, _):
        settings = prepared.s3.model_copy(update={"endpoint_url": f"http://127.0.0.1:{port}"})
        async with Crops(settings) as crops:
            with pytest.raises(StoreUnavailable, match=reason):
                await crops.fetch(f"s3://{settings.bucket}/frames/a.jpg", 1000)
            with pytest.raises(StoreUnavailable, match="sends us elsewhere"):
                await crops.put("crops/a.jpg", b"x")
            with pytest.raises(StoreUnavailable, match="sends us elsewhere"):
                await crops.ping()
