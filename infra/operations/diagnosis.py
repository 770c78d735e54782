"""Does this installation work? All parts are checked, and all faults reported at once."""

import asyncio
import importlib.metadata
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from config import RELEASE
from config.network.http_proxies import proxy_variables, without_user
from config.observability.redaction import Redaction
from config.settings import KafkaSettings, ModelSettings, Settings
from domain.failures import Reject, Retry
from domain.images.image_errors import ModelError
from infra.database.create_topics import plan_topics
from sinks.cache.recent_matches import Recents
from sinks.main.main_store import Records
from sinks.objects.crops import Crops
from sinks.vector.vector_store import Vectors
from streams.clients.client_factory import create_admin
from streams.clients.tls_and_sasl import connection_problem
from streams.monitoring.consumer_lag import MissingTopicsError
from streams.monitoring.heartbeat_reader import look_at_pipeline
from streams.monitoring.pipeline_health import counted

Status = Literal["ok", "degraded", "failed"]

#: How long one part may take to answer, in seconds; loading models is the longest.
PATIENCE = 60.0

#: The packages whose versions matter most when a fault is reported.
_PACKAGES = (
    "faust-streaming",
    "aiokafka",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "faiss-cpu",
    "numpy",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of the check of one part.

    Attributes:
        part: what was checked.
        status: whether it works.
        detail: one line, without secrets.
        seconds: the duration of the check.
    """

    part: str
    status: Status
    detail: str
    seconds: float


class _DegradedError(Exception):
    """The part exists, but does not work; the message says why."""


async def examine(settings: Settings) -> list[Finding]:
    """Check packages, models and servers, the servers in parallel."""
    servers: dict[str, Callable[[], Awaitable[str]]] = {
        "main database": lambda: _records(settings),
        "vector database": lambda: _vectors(settings),
        "Redis": lambda: _recents(settings),
        "S3": lambda: _crops(settings),
        "Kafka": lambda: _kafka(settings.kafka),
        "pipeline": lambda: _pipeline(settings),
        "models": lambda: asyncio.to_thread(_models, settings.models),
    }
    redact = Redaction(settings)
    found = await asyncio.gather(*(_look(part, look, redact) for part, look in servers.items()))
    return [
        Finding("packages", "ok", _versions(), 0.0),
        Finding("proxies", "ok", _proxies(settings), 0.0),
        *found,
    ]


async def _look(
    part: str, look: Callable[[], Awaitable[str]], redact: Callable[[str], str]
) -> Finding:
    began = perf_counter()
    status: Status = "ok"
    try:
        async with asyncio.timeout(PATIENCE):
            detail = await look()
    except TimeoutError:
        status, detail = "failed", f"no answer within {PATIENCE:g} s"
    except _DegradedError as error:
        status, detail = "degraded", str(error)
    except (Retry, Reject, ModelError, KafkaError, OSError) as error:
        status, detail = "failed", str(error) or type(error).__name__
    except Exception as error:  # noqa: BLE001 - a part that breaks down must not hide the others
        # Its text may contain anything, also secrets that the redaction does not know.
        detail = f"unexpected {type(error).__name__}; see the log of a worker or the API for more"
        status = "failed"
    return Finding(part, status, " ".join(redact(detail).split()), perf_counter() - began)


async def _records(settings: Settings) -> str:
    async with Records(settings.main_db) as records:
        await records.recent_faces(1)
    return settings.main_db.safe_url


async def _vectors(settings: Settings) -> str:
    async with Vectors(settings.vector_db) as vectors:
        models = await vectors.models()
    sizes = [f"{model} ({dimension}-d)" for model, dimension in models.items()]
    held = ", ".join(sizes) or "no model yet"
    return f"{settings.vector_db.safe_url}: {held}"


async def _recents(settings: Settings) -> str:
    async with Recents(settings.redis) as recents:
        await recents.ping()
    return settings.redis.safe_url


async def _crops(settings: Settings) -> str:
    async with Crops(settings.s3) as crops:
        await crops.ping()
    return f"bucket {settings.s3.bucket} at {settings.s3.endpoint_url or 'AWS'}"


async def _kafka(settings: KafkaSettings) -> str:
    admin = create_admin(settings)
    try:
        await _start(admin, settings)
        there = set(await admin.list_topics())
    finally:
        await admin.close()
    planned = [plan.name for plan in plan_topics(settings)]
    missing = [name for name in planned if name not in there]
    if missing:
        raise Retry(f"topics are missing: {', '.join(missing)}; run fecapass init-db")
    return f"{settings.bootstrap_servers}: {len(planned)} topics"


async def _pipeline(settings: Settings) -> str:
    """The running workers. An installation without workers is not a failure.

    Raises:
        _DegradedError: the pipeline does not work; the message says why.
    """
    kafka = settings.kafka
    try:
        async with asyncio.timeout(PATIENCE / 2):
            state = await look_at_pipeline(kafka, kafka.request_timeout, settings.api.max_lag)
    except MissingTopicsError as error:
        raise _DegradedError(f"topics are missing: {error}") from error
    except (KafkaError, OSError, TimeoutError) as error:
        raise _DegradedError("the broker does not answer") from error
    if state.problems:
        raise _DegradedError("; ".join(state.problems))
    workers = counted({role: one.running for role, one in state.roles.items()})
    waiting = sum(lag.messages for lag in state.lags)
    return f"{workers} running, {waiting} messages to process"


async def _start(admin: AIOKafkaAdminClient, settings: KafkaSettings) -> None:
    try:
        await admin.start()
    except KafkaError as error:
        problem = await connection_problem(settings)
        raise Retry(f"{settings.bootstrap_servers}: {problem}") from error


def _models(settings: ModelSettings) -> str:
    from ml.recognition.face_analyser import build_analyser  # noqa: PLC0415 - heavy

    analyser = build_analyser(settings)
    models = f"{analyser.detector.id} and {analyser.embedder.id}"
    return f"{models} on {analyser.provider} in {analyser.precision}"


def _proxies(settings: Settings) -> str:
    """Which HTTP proxies are used; Kafka, PostgreSQL and Redis do not use any."""
    used = {"S3": settings.s3.proxy}
    if settings.kafka.sasl_mechanism == "OAUTHBEARER":
        used["OAuth"] = settings.kafka.oauth_proxy
    parts = [f"{to} {f'by {without_user(url)}' if url else 'direct'}" for to, url in used.items()]
    asked = (settings.s3.proxy_url, settings.kafka.oauth_proxy_url)
    if (ignored := proxy_variables()) and not any(one and one.from_environment for one in asked):
        parts.append(f"not used: {', '.join(ignored)} of the environment")
    return "; ".join(parts)


def _versions() -> str:
    found = [f"Fecapass {RELEASE}", f"Python {sys.version.split()[0]}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def healthy(findings: Sequence[Finding]) -> bool:
    """Whether no check failed; a degraded part is not a failure."""
    return all(finding.status != "failed" for finding in findings)
