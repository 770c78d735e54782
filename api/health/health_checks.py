"""Is everything there? Every server is asked at once, each within a bound.

All five count for ``/health``: without any of them something that the API offers does not work.
So does the pipeline: without workers, requests are taken, and nothing is recognised or recorded.
Readiness asks whether this process can serve requests, and for nothing else: workers that are not
there are no reason to send requests to another API process. It is milder about Redis, which holds
nothing that cannot be lost: without it enrolments and searches are still taken, and answered by
their status address.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic, perf_counter
from typing import Literal

from aiokafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from api.http.dependencies import Services
from api.schemas.health import CheckResult, HealthResponse, ReadyResponse, TaskResult
from api.schemas.pipeline import PipelineSummary
from domain.failures import Reject, Retry
from sinks.main.database_sessions import ping
from sinks.store_errors import StoreUnavailable
from streams.clients.client_factory import create_admin
from streams.contract.topics import Topics

#: More frequent requests get the last answer, because no key is needed.
FRESH_SECONDS = 0.5

#: What the service can do without for a while.
_SPARED = frozenset({"redis"})

_NAMES = {
    "main_db": "main database",
    "vector_db": "vector database",
    "redis": "Redis",
    "kafka": "Kafka",
    "s3": "S3",
}

Ask = Callable[[], Awaitable[None]]


class _SetUpError(Exception):
    """The server answers, but is not set up correctly."""


class Health:
    """Checks every server, at most every half second however many ask."""

    def __init__(self, services: Services, instance: str) -> None:
        """Check what ``services`` speak to; answers carry the id of this process."""
        self._instance = instance
        self._timeout = services.settings.api.check_timeout
        self._lock = asyncio.Lock()
        self._services = services
        self._last: tuple[float, dict[str, CheckResult]] | None = None
        self._asks: Mapping[str, Ask] = {
            "main_db": lambda: ping(services.databases.main),
            "vector_db": services.stores.vectors.ping,
            "redis": services.stores.recents.ping,
            "kafka": lambda: _ask_kafka(services),
            "s3": services.stores.crops.ping,
        }

    async def check(self) -> HealthResponse:
        """The state of every server, of this process and of the pipeline."""
        checks, pipeline = await asyncio.gather(self._servers(), self._services.pipeline.state())
        states = self._services.tasks()
        tasks = {
            task.name: TaskResult(status="failed" if task.failing else "ok", restarts=task.restarts)
            for task in states
        }
        problems = [
            *(
                f"{_NAMES[name]} is down: {result.detail}"
                for name, result in checks.items()
                if result.status == "failed"
            ),
            *pipeline.problems,
            # Tasks that an outage has ended are covered by the check of that server.
            *(
                f"the task {task.name} has ended and is started again"
                for task in states
                if task.failing and not task.expected
            ),
        ]
        status = _status(checks)
        return HealthResponse(
            status="degraded" if status == "ok" and problems else status,
            instance=self._instance,
            problems=problems,
            checks=checks,
            pipeline=PipelineSummary.of(pipeline),
            tasks=tasks,
        )

    async def ready(self) -> ReadyResponse:
        """Whether this process can serve requests."""
        checks = await self._servers()
        return ReadyResponse(status=_status(checks), instance=self._instance, checks=checks)

    async def _servers(self) -> dict[str, CheckResult]:
        async with self._lock:
            if self._last is not None and monotonic() - self._last[0] < FRESH_SECONDS:
                return self._last[1]
            results = await asyncio.gather(*(self._one(ask) for ask in self._asks.values()))
            checks = dict(zip(self._asks, results, strict=True))
            self._last = monotonic(), checks
            return checks

    async def _one(self, ask: Ask) -> CheckResult:
        began = perf_counter()
        detail = None
        try:
            async with asyncio.timeout(self._timeout):
                await ask()
        except TimeoutError:
            detail = f"no answer within {self._timeout:g} s"
        except _SetUpError as error:
            detail = str(error)
        except StoreUnavailable as error:
            detail = error.summary
        except (Retry, Reject, SQLAlchemyError, KafkaError, OSError):
            detail = "no answer"  # the driver's text contains addresses, and no key is needed
        latency = round((perf_counter() - began) * 1000, 1)
        return CheckResult(status="failed" if detail else "ok", latency_ms=latency, detail=detail)


def _status(checks: Mapping[str, CheckResult]) -> Literal["ok", "degraded", "unavailable"]:
    failed = {name for name, result in checks.items() if result.status == "failed"}
    return "unavailable" if failed - _SPARED else "degraded" if failed else "ok"


async def _ask_kafka(services: Services) -> None:
    """Check the topics: a broker without them accepts no message.

    Raises:
        _SetUpError: topics are missing.
        KafkaError: the broker is unavailable.
    """
    kafka = services.settings.kafka
    admin = create_admin(
        kafka,
        client_id="fecapass-health",
        request_timeout_ms=int(services.settings.api.check_timeout * 1000),
    )
    topics = Topics(kafka.topic_prefix)
    try:
        await admin.start()
        missing = {topics.uploads, topics.matches, topics.visits} - set(await admin.list_topics())
    finally:
        await admin.close()
    if missing:
        raise _SetUpError("topics are missing; run fecapass init-db")
