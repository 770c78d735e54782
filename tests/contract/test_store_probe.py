"""If a store fails for one object, other objects are tried; this probe has a short time limit."""

import asyncio

import pytest

from sinks.objects.crops import Crops
from sinks.store_errors import ObjectFault, StoreFault
from tests.end_to_end.object_store import ObjectStore


@pytest.fixture
async def store():
    async with ObjectStore() as running:
        running.answers["frames/1"] = (500, "InternalError")
        running.answer = (200, "")
        running.listed = ["frames/1", "frames/2", "frames/3"]
        yield running


async def fetch(prepared, store):
    changes = {"endpoint_url": store.url, "connect_timeout": 0.3}
    async with Crops(prepared.s3.model_copy(update=changes)) as crops, asyncio.timeout(10):
        await crops.fetch(f"s3://{crops.bucket}/frames/1", 10**6)


async def test_if_other_objects_are_served_the_object_is_at_fault(prepared, store):
    with pytest.raises(ObjectFault):
        await fetch(prepared, store)


async def test_if_other_objects_hang_the_store_is_at_fault(prepared, store):
    store.hanging = {"frames/2", "frames/3"}
    with pytest.raises(StoreFault):
        await fetch(prepared, store)
