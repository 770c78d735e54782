"""A worker with the real delivery and a handler that does what the messages say.

The value of a message is words: ``ok``, ``raise``, ``reject``, ``hang``, ``slow N`` (seconds), or
``wait FILE`` (a store that is unavailable until the file exists). What is begun and done is written
to the file HAZARD_LOG, one line each.

HAZARD_MUTE names a file: while it is there, the consumer asks the broker for nothing, and notes so.
HAZARD_LATE names another: while it is there, what a fetch brings does not reach the worker.
"""

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from aiokafka.consumer.fetcher import Fetcher
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

from config.observability.logging import configure_logging
from config.settings import DetectSettings, load_settings
from domain.failures import Fatal, Reject, Retry
from streams.clients.client_factory import create_producer
from streams.clients.durable_producer import Publisher
from streams.contract.topics import Topics
from streams.dead_letters.dead_letter_writer import DeadLetters
from streams.faust.faust_app import create_app
from streams.lifecycle.shutdown_deadline import ShutdownDeadline
from streams.lifecycle.worker import Worker
from streams.processing.load_shedding import SheddingPolicy, frame_reader, shedder
from streams.processing.stage import Stage, Subscription

LOG = Path(os.environ["HAZARD_LOG"])
MUTE = Path(os.environ.get("HAZARD_MUTE", "/nowhere"))
LATE = Path(os.environ.get("HAZARD_LATE", "/nowhere"))
BATCH_SIZE = int(os.environ.get("HAZARD_BATCH_SIZE", "1"))
OVERLAP = int(os.environ.get("HAZARD_OVERLAP", "1"))


def write(line):
    with LOG.open("a") as log:
        log.write(f"{line}\n")


def note(event, delivery):
    write(f"{event} {delivery.address} {delivery.value.decode()}")


async def obey(delivery, hanging):
    word, _, argument = delivery.value.decode().partition(" ")
    if word == "raise":
        raise ZeroDivisionError("a bug")
    if word == "slow":
        await asyncio.sleep(float(argument))
    elif word == "hang":
        await asyncio.get_running_loop().run_in_executor(hanging, time.sleep, 600)


def verdict(delivery):
    word, _, argument = delivery.value.decode().partition(" ")
    if word == "reject":
        return Reject("corrupt", "no image")
    if word == "wait" and not Path(argument).exists():
        return Retry("the store is unavailable")
    return None


def stop_fetching_on_demand():
    """As consumers do after a rebalance gone wrong: they are members, and send no fetch."""
    fetch = Fetcher._proc_fetch_request

    async def fetch_or_not(self, *arguments):
        with suppress(asyncio.CancelledError):  # as the original does when it is closed
            if MUTE.exists():  # noqa: ASYNC240 - a file has no event
                write(f"muted {os.getpid()}")
            while MUTE.exists():  # noqa: ASYNC110, ASYNC240 - a file has no event
                await asyncio.sleep(0.1)
            return await fetch(self, *arguments)
        return False

    Fetcher._proc_fetch_request = fetch_or_not


def bring_late_on_demand():
    """As happens while the worker's event loop is busy, or its partitions are given back."""
    fetch = AIOKafkaConsumerThread.getmany

    async def fetch_late(self, *arguments, **options):
        records = await fetch(self, *arguments, **options)
        if records and LATE.exists():  # noqa: ASYNC240 - a file has no event
            write(f"held {sorted(tp.partition for tp in records)}")
            while LATE.exists():  # noqa: ASYNC110, ASYNC240 - the same
                await asyncio.sleep(0.05)
        return records

    AIOKafkaConsumerThread.getmany = fetch_late


class Obedient(Stage):
    """Does what the messages say, and records each call."""

    def __init__(self, hanging):
        self._hanging = hanging

    async def assigned(self, partitions):
        for partition in partitions:
            write(f"ready {partition.topic}/{partition.number} {os.getpid()}")

    async def process(self, batch):
        for delivery in batch:
            note("begin", delivery)
            await obey(delivery, self._hanging)
        outcomes = {one: verdict(one) for one in batch}
        if len(batch) == 1 and isinstance(outcomes[batch[0]], Retry):
            raise outcomes[batch[0]]
        for delivery, outcome in outcomes.items():
            if outcome is None:
                note("done", delivery)
        return {one: outcome for one, outcome in outcomes.items() if outcome}

    async def revoked(self, partitions):
        for partition in partitions:
            write(f"revoked {partition.topic}/{partition.number} {os.getpid()}")


async def main():
    settings = load_settings(DetectSettings)
    configure_logging(settings)
    topics = Topics(settings.kafka.topic_prefix)
    producer = create_producer(settings.kafka)
    with (
        ShutdownDeadline(settings.workers.stop_timeout + 3) as deadline,
        ThreadPoolExecutor(2) as hanging,
    ):
        stage = Obedient(hanging)
        policy = SheddingPolicy(settings.workers.frame_max_age, {})
        shed = shedder(policy, frame_reader(topics)) if policy.drops_anything else None
        app = create_app("hazard", settings.kafka, settings.workers)
        worker = Worker(
            app,
            {
                topics.frames: Subscription(stage, BATCH_SIZE, OVERLAP, shed),
                topics.uploads: Subscription(stage, BATCH_SIZE, OVERLAP),
            },
            DeadLetters(Publisher(producer), topics),
            settings.workers,
            stopping=deadline.begin,
        )

        async def assigned(*_args, **_options):
            write(f"assigned {os.getpid()}")

        app.on_partitions_assigned.connect(assigned)
        stop_fetching_on_demand()
        bring_late_on_demand()
        await producer.start()
        try:
            await worker.run()
        except Fatal as failure:
            print(f"fatal: {failure}", flush=True)  # noqa: T201 - what the test reads
            raise SystemExit(1) from None
        finally:
            await producer.stop()


if __name__ == "__main__":
    asyncio.run(main())
