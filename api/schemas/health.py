"""The state of the service."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

INSTANCE = "random id of the process that answers; each start has its own"


class CheckResult(BaseModel):
    """One server."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"status": "failed", "latency_ms": 2000.1, "detail": "no answer within 2 s"}
            ]
        }
    )

    status: Literal["ok", "failed"]
    latency_ms: float = Field(description="how long its answer took, or was waited for")
    detail: str | None = Field(default=None, description="of a failure, what is wrong")


class HealthResponse(BaseModel):
    """The service, and every server that it works with."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "ok",
                    "instance": "c0ffee5cb6d94a1e8b0c5f6e6a7d8e90",
                    "checks": {
                        name: {"status": "ok", "latency_ms": 1.4}
                        for name in ("main_db", "vector_db", "redis", "kafka", "s3")
                    },
                }
            ]
        }
    )

    status: Literal["ok", "degraded", "unavailable"]
    instance: str = Field(description=INSTANCE)
    checks: dict[str, CheckResult]


class LiveResponse(BaseModel):
    """The process runs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"status": "ok", "instance": "c0ffee5cb6d94a1e8b0c5f6e6a7d8e90"}]
        }
    )

    status: Literal["ok"] = "ok"
    instance: str = Field(description=INSTANCE)
