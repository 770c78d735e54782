"""``fecapass worker``: the kinds of agent process."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.terminal.command_errors import CommandFailed

if TYPE_CHECKING:
    from config.settings import AnySettings

app = typer.Typer(
    no_args_is_help=True, help="Run a worker; the partitions of the topics limit their number."
)

Port = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        help="Port of /health and /metrics; 0 chooses a free one. "
        "Default: FECAPASS_WORKERS__HEALTH_PORT.",
    ),
]


@app.command()
def detect(health_port: Port = None) -> None:
    """Find faces in frames and photos; needs Kafka and the models (and a GPU, if configured).

    Consumes `camera.frames` and `photo.uploads`, produces `faces.detected`. On SIGTERM or Ctrl-C
    the worker finishes its messages in flight and gives the partitions back.
    """
    from agents.processes.detect_process import run_detect
    from config.settings import DetectSettings

    settings = _settings(DetectSettings, health_port)
    _run(run_detect(settings))


@app.command()
def identify(health_port: Port = None) -> None:
    """Identify the faces and store them; needs Kafka and all four stores.

    Consumes `faces.detected`, produces `faces.matches`. On SIGTERM or Ctrl-C the worker finishes
    its messages in flight and gives the partitions back.
    """
    from agents.processes.identify_process import run_identify
    from config.settings import Settings

    settings = _settings(Settings, health_port)
    _run(run_identify(settings))


@app.command()
def follow(health_port: Port = None) -> None:
    """Follow who comes and goes at each camera; needs Kafka, both databases and Redis.

    Consumes `faces.matches`, produces `faces.visits`. On SIGTERM or Ctrl-C the worker finishes its
    messages in flight and gives the partitions back.
    """
    from agents.processes.follow_process import run_follow
    from config.settings import Settings

    settings = _settings(Settings, health_port)
    _run(run_follow(settings))


def _settings(kind: "type[AnySettings]", health_port: int | None) -> "AnySettings":
    from config.observability.logging import configure_logging
    from config.settings import load_settings

    settings = load_settings(kind)
    if health_port is not None:
        workers = settings.workers.model_copy(update={"health_port": health_port})
        settings = settings.model_copy(update={"workers": workers})
    configure_logging(settings)
    return settings


def _run(work: Coroutine[Any, Any, None]) -> None:
    import uvloop

    from domain.failures import Fatal, Reject, Retry
    from domain.images.image_errors import ModelError

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(work)
        except (Fatal, Retry, Reject, ModelError) as error:
            raise CommandFailed(str(error)) from error
