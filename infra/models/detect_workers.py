"""Which models the running detect workers have loaded, by their heartbeats."""

import asyncio
import contextlib
from collections.abc import Iterable
from time import monotonic

from aiokafka.errors import KafkaError

from config.settings import KafkaSettings
from domain.failures import Retry
from streams.monitoring.consumer_lag import MissingTopicsError
from streams.monitoring.heartbeat_reader import listening
from streams.monitoring.heartbeats import WorkerRegistry

_ANSWER_SECONDS = 5.0
_POLL_SECONDS = 0.1

#: A heartbeat names the detector first, then the embedder that decides, then the others.
_SERVING = 1


async def wait_for_workers(settings: KafkaSettings, model: str, seconds: float) -> list[str]:
    """Detect workers that do not embed by a model after a time; none, as soon as all do.

    Raises:
        Retry: the broker does not answer.
    """
    return await _wait(settings, model, seconds, serving=True)


async def workers_without(settings: KafkaSettings, model: str, seconds: float) -> list[str]:
    """Detect workers that have not loaded a model after a time; none, as soon as all have.

    Raises:
        Retry: the broker does not answer.
    """
    return await _wait(settings, model, seconds, serving=False)


async def _wait(settings: KafkaSettings, model: str, seconds: float, *, serving: bool) -> list[str]:
    try:
        async with listening(settings, _ANSWER_SECONDS) as reader:
            registry = WorkerRegistry()
            await reader.catch_up(registry)
            until = monotonic() + seconds
            while True:
                lacking = list(_lacking(registry, model, serving=serving))
                if not lacking or monotonic() >= until:
                    return lacking
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_SECONDS):
                        await reader.follow(registry)
    except (KafkaError, MissingTopicsError) as error:
        raise Retry(f"the workers' heartbeats cannot be read: {error}") from error


def _lacking(registry: WorkerRegistry, model: str, *, serving: bool) -> Iterable[str]:
    now = monotonic()
    for worker in registry.workers(now):
        if worker.last.role == "detect" and worker.is_alive(now):
            models = worker.last.models[_SERVING:]
            if model not in (models[:1] if serving else models):
                yield worker.last.instance
