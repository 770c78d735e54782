"""Names that clients choose (claim checks, cameras, people) are treated as data only."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from domain.object_keys import crop_key
from sinks.objects.crops import Crops
from sinks.store_errors import StoreRejected, StoreUnavailable
from tests.stored_records import stored_user

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
LIMIT = 1_000_000

HOSTILE = st.one_of(
    st.text(),
    st.text(st.sampled_from("./\\%=~:@?#&\0\n\r '\";-"), min_size=1, max_size=30),
    st.sampled_from(
        [
            "..",
            "../..",
            "/",
            "%2e%2e/",
            "a\0b",
            "x" * 10_000,
            "e\u0301",
            "\u00e9",
            "\u202e",
            "\ud800",
        ]
    ),
)


@pytest.fixture(scope="module")
async def foreign(prepared):
    """Another bucket on the same server, whose picture must not be read by claim check."""
    bucket = f"private-{uuid4().hex[:8]}"
    async with Crops(prepared.s3.model_copy(update={"bucket": bucket})) as crops:
        await crops.ensure_bucket()
        await crops.put("photo.jpg", b"private")
    return bucket


SPELLINGS = [
    "s3://{own}/../{foreign}/photo.jpg",
    "s3://{own}/a/../../{foreign}/photo.jpg",
    "s3://{own}/./../{foreign}/photo.jpg",
    "s3://{own}/%2e%2e/{foreign}/photo.jpg",
    "s3://{own}/..%2f{foreign}/photo.jpg",
    "s3://{own}\\..\\{foreign}/photo.jpg",
    "s3://{own}/..\\{foreign}/photo.jpg",
    "s3://{foreign}/photo.jpg",
    "s3://{own}@{foreign}/photo.jpg",
    "s3://{own}:x@{foreign}/photo.jpg",
    "s3://{foreign}?{own}/photo.jpg",
    "s3://{foreign}#{own}/photo.jpg",
    "s3://{own}/../../{foreign}/photo.jpg",
    "s3:///{foreign}/photo.jpg",
    "s3://../{foreign}/photo.jpg",
    " s3://{foreign}/photo.jpg",
    "S3://{foreign}/photo.jpg",
    "s3://{own}/\0/../{foreign}/photo.jpg",
    "s3://{own}/a\r\nHost: evil/photo.jpg",
    "s3://127.0.0.1:8333/{foreign}/photo.jpg",
    "s3://169.254.169.254/latest/meta-data",
    "http://127.0.0.1:8333/{foreign}/photo.jpg",
    "https://example.com/photo.jpg",
    "file:///etc/passwd",
    "s3://{own}",
    "s3://{own}/",
    "",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_spelling_leads_out_of_the_allowed_buckets(crops, foreign, spelling):
    with pytest.raises(StoreRejected) as failure:
        await crops.fetch(spelling.format(own=crops.bucket, foreign=foreign), LIMIT)
    assert failure.value.reason in {"bad_dataref", "forbidden_bucket", "not_found"}


@given(between=HOSTILE)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_nothing_between_two_buckets_leads_from_one_to_the_other(crops, foreign, between):
    with pytest.raises(StoreRejected):
        await crops.fetch(f"s3://{crops.bucket}/{between}/{foreign}/photo.jpg", LIMIT)


async def test_an_allowed_bucket_is_read(prepared, foreign):
    allowed = prepared.s3.model_copy(update={"claim_check_buckets": (foreign,)})
    async with Crops(allowed) as crops:
        assert await crops.fetch(f"s3://{foreign}/photo.jpg", LIMIT) == b"private"


async def test_a_server_that_redirects_is_not_followed_elsewhere(prepared):
    """A claim check must not cause a request to another server, whatever the store answers."""
    asked = []

    async def inner(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
        writer.close()

    async def store(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        place = f"http://127.0.0.1:{target.sockets[0].getsockname()[1]}/inside"
        writer.write(
            f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {place}\r\n"
            "Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        writer.close()

    target = await asyncio.start_server(inner, "127.0.0.1", 0)
    front = await asyncio.start_server(store, "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{front.sockets[0].getsockname()[1]}"
    async with target, front, Crops(prepared.s3.model_copy(update={"endpoint_url": endpoint})) as c:
        with pytest.raises(StoreRejected, match="sends us elsewhere"):
            await c.fetch(f"s3://{c.bucket}/photo.jpg", LIMIT)
        with pytest.raises(StoreUnavailable, match="sends us elsewhere"):
            await c.put("crops/ours.jpg", b"data")
    assert asked == []


@given(camera=HOSTILE)
@example(camera="../../private")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_crop_is_stored_under_its_key_for_any_camera_name(crops, camera):
    key = crop_key(camera, NOON, uuid4())
    await crops.put(key, camera.encode(errors="surrogatepass"))
    assert await crops.get(key) == camera.encode(errors="surrogatepass")
    async with crops._client("list") as client:
        listed = await client.list_objects_v2(Bucket=crops.bucket, Prefix=key)
    assert [entry["Key"] for entry in listed["Contents"]] == [key]


NASTY = st.one_of(
    st.sampled_from(
        ["'; DROP TABLE users; --", "$1", "%s", ":name", "\\'", '"', "{}", "a' OR '1'='1"]
    ),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
)


@given(name=NASTY)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_looks_like_sql_is_stored_as_data(records, prepared, name):
    email = f"{uuid4().hex}{name[:50]}@example.com"
    user = await stored_user(records, email, name)
    connection = await asyncpg.connect(prepared.main_db.dsn)
    try:
        row = await connection.fetchrow("SELECT email, full_name FROM users WHERE id = $1", user.id)
        assert (row["email"], row["full_name"]) == (user.email, name)
        assert await records.recent_faces(1, camera=name) == []
    finally:
        await connection.close()
