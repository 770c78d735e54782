"""The state of a worker over HTTP: ``/health`` and ``/metrics``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from config.network.listening import announce, listen, new_instance, port_of, url_of, withdraw
from config.settings.workers import WorkerSettings
from config.tasks.supervisor import TaskState


@dataclass(frozen=True, slots=True)
class Check:
    """One health check of a worker.

    Attributes:
        name: what is checked.
        ok: whether it works.
        detail: one line for the operator.
    """

    name: str
    ok: bool
    detail: str


def task_checks(tasks: Sequence[TaskState]) -> list[Check]:
    """One check for all background tasks of a process: whether none of them fails now."""
    if not tasks:
        return []
    restarts = sum(task.restarts for task in tasks)
    failing = [f"{task.name} ({task.error})" for task in tasks if task.failing]
    detail = f"{len(tasks)} running, {restarts} restart{'s' * (restarts != 1)}"
    if failing:
        detail = f"{', '.join(failing)} ended and is started again; {detail}"
    return [Check("tasks", not failing, detail)]


class HealthServer:
    """Serves ``/health`` (503 when a check fails) and ``/metrics`` (Prometheus' text format)."""

    def __init__(
        self,
        host: str,
        port: int,
        role: str,
        checks: Callable[[], Sequence[Check]],
        address_file: Path | None = None,
    ) -> None:
        """Prepare; `start` binds the port.

        Args:
            host: address to listen on.
            port: port to listen on; 0 chooses a free one.
            role: the role in the answer.
            checks: evaluated for every request.
            address_file: contains the URL and the instance while it listens.
        """
        self.instance = new_instance()
        self._host = host
        self._port = port
        self._role = role
        self._checks = checks
        self._address_file = address_file
        app = web.Application()
        app.add_routes([web.get("/health", self._health), web.get("/metrics", _metrics)])
        app.on_response_prepare.append(_hide_versions)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> str:
        """Listen, and return the URL.

        Raises:
            OSError: the port is taken, or the address file cannot be written.
        """
        sockets = listen(self._host, self._port)
        url = url_of(self._host, port_of(sockets))
        await self._runner.setup()
        for bound_socket in sockets:
            await web.SockSite(self._runner, bound_socket).start()
        announce(self._address_file, url, self.instance)
        return url

    async def stop(self) -> None:
        """Stop listening."""
        withdraw(self._address_file)
        await self._runner.cleanup()

    async def _health(self, _request: web.Request) -> web.Response:
        checks = self._checks()
        healthy = all(check.ok for check in checks)
        body = {
            "status": "ok" if healthy else "unhealthy",
            "role": self._role,
            "instance": self.instance,
            "checks": {
                check.name: {"status": "ok" if check.ok else "failed", "detail": check.detail}
                for check in checks
            },
        }
        return web.json_response(body, status=200 if healthy else 503)


def health_server_problem(settings: WorkerSettings, error: OSError) -> str:
    """One line for the operator: why `HealthServer.start` failed."""
    if error.filename is not None:
        return f"cannot write {settings.address_file}: {error.strerror}"
    return (
        f"cannot serve health on {settings.health_host or 'all addresses'} "
        f"port {settings.health_port}: {error.strerror}; "
        "set FECAPASS_WORKERS__HEALTH_PORT (0 takes a free port)"
    )


async def _hide_versions(_request: web.Request, response: web.StreamResponse) -> None:
    """Hide the versions of the software, and forbid browsers to guess content types."""
    response.headers.pop("Server", None)
    response.headers["X-Content-Type-Options"] = "nosniff"


async def _metrics(_request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
