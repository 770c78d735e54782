"""Health and metrics, for probes and Prometheus; no key is needed."""

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.health.health_checks import Health
from api.schemas.health import HealthResponse, LiveResponse, ReadyResponse

router = APIRouter(tags=["service"])

_UNHEALTHY: dict[int | str, dict[str, Any]] = {
    503: {"model": HealthResponse, "description": "Something is wrong"}
}
_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": ReadyResponse, "description": "A server that requests need does not answer"}
}


@router.get("/health", name="read_health", responses=_UNHEALTHY)
async def health(request: Request, response: Response) -> HealthResponse:
    """Servers, tasks and pipeline; 503 unless all is well. `problems` says in words what is not.

    For people and monitoring: a load balancer asks `/health/ready`.
    """
    report = await _health(request).check()
    response.status_code = 200 if report.status == "ok" else 503
    return report


@router.get("/health/live", name="read_liveness")
async def live(request: Request) -> LiveResponse:
    """200 for as long as the process runs: whether to restart it."""
    return LiveResponse(instance=request.app.state.instance)


@router.get("/health/ready", name="read_readiness", responses=_NOT_READY)
async def ready(request: Request, response: Response) -> ReadyResponse:
    """503 when requests cannot be served: whether to send any. Without Redis they still can.

    Workers do not count: their messages wait in Kafka, and `/health` reports them.
    """
    report = await _health(request).ready()
    response.status_code = 503 if report.status == "unavailable" else 200
    return report


@router.get(
    "/metrics",
    name="read_metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format"}},
)
async def metrics() -> Response:
    """Metrics of this process."""
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _health(request: Request) -> Health:
    checks: Health = request.app.state.health
    return checks
