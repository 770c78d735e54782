"""What the workers say of themselves at ``/metrics``."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from benchmarks.system.servers import Consumer


class StageTime(NamedTuple):
    """Seconds spent in a stage, and by how many batches."""

    seconds: float
    batches: float


async def stage_seconds(consumer: Consumer) -> dict[str, StageTime]:
    """What each stage of the consumer took so far."""
    spent: dict[str, StageTime] = {}
    async for sample in _samples(consumer, "fecapass_stage_duration_seconds"):
        stage = sample.labels["stage"]
        before = spent.get(stage, StageTime(0.0, 0.0))
        if sample.name.endswith("_sum"):
            spent[stage] = before._replace(seconds=before.seconds + sample.value)
        elif sample.name.endswith("_count"):
            spent[stage] = before._replace(batches=before.batches + sample.value)
    return spent


async def total(consumer: Consumer, counter: str) -> float:
    """Sum of a counter over all workers and labels; 0 where they do not have it.

    Args:
        consumer: whose workers.
        counter: its name without ``_total``.
    """
    return sum(
        [
            sample.value
            async for sample in _samples(consumer, counter)
            if sample.name.endswith("_total")
        ]
    )


async def _samples(consumer: Consumer, family: str) -> AsyncIterator[Sample]:
    async with aiohttp.ClientSession() as session:
        for address in consumer.addresses:
            async with session.get(f"{address}/metrics") as response:
                text = await response.text()
            for found in text_string_to_metric_families(text):
                if found.name == family:
                    for sample in found.samples:
                        yield sample
