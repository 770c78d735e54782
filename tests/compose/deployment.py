"""docker-compose.yml as a throw-away deployment: its own project, ports, passwords and network."""

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from config.settings import Settings, load_settings
from infra import env_file
from infra.processes.ports import Ports
from infra.processes.run_guard import RunGuard

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
NETWORK_OVERRIDE = Path(__file__).with_name("network.override.yml")

_TAIL_LINES = "40"
_PROFILES = ("observability", "gpu")
_PROJECT_LABEL = "com.docker.compose.project"


class DeploymentError(Exception):
    """A docker command failed; the message holds the end of what it printed."""


def unavailable(images: Iterable[str] = ()) -> str | None:
    """Why no container of these images can be started here; None where all can.

    Args:
        images: those that are not here are pulled.
    """
    program = shutil.which("docker")
    if program is None:
        return "docker is not installed"
    answer = _try(program, "info")
    if answer.returncode != 0:
        return f"no Docker engine answers: {answer.stderr.strip()}"
    for image in images:
        if _try(program, "image", "inspect", image).returncode != 0:
            pulled = _try(program, "pull", "--quiet", image)
            if pulled.returncode != 0:
                return f"{image} is not here and cannot be pulled: {pulled.stderr.strip()}"
    return None


def _try(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a service.

    Attributes:
        name: its name.
        state: ``running``, ``exited``, ...
        health: ``healthy``, ``unhealthy``, ``starting``, or empty without a health check.
        exit_code: of the last run.
    """

    name: str
    state: str
    health: str
    exit_code: int


#: Removes all that carries a project's label; needs no file of the project, which may be gone.
_REMOVE = """
label=label=$1
docker ps --all --quiet --filter "$label" | xargs -r docker rm --force --volumes
docker volume ls --quiet --filter "$label" | xargs -r docker volume rm --force
docker network ls --quiet --filter "$label" | xargs -r docker network rm
"""


def removal(project: str) -> tuple[str, ...]:
    """The command that removes containers, volumes and networks of a project, running or not."""
    return ("/bin/sh", "-c", _REMOVE, "sh", f"{_PROJECT_LABEL}={project}")


class Deployment:
    """A compose project that lives as long as a ``with`` block; ``down -v`` is its end.

    Attributes:
        project: its name, which is also on every container, volume and network.
    """

    def __init__(self, project: str, overrides: Sequence[Path] = ()) -> None:
        """Choose name, ports and passwords; nothing is started yet.

        Args:
            project: what its name begins with; others of the same kind may run next to it.
            overrides: further compose files.
        """
        self.project = f"{project}-{secrets.token_hex(4)}"
        self._files = (COMPOSE_FILE, NETWORK_OVERRIDE, *overrides)
        self._directory = Path(tempfile.mkdtemp(prefix=f"{project}-"))
        self._env_file = self._directory / ".env"
        self._ports = Ports()
        self._variables = env_file.variables({name: self._ports.take() for name in env_file.PORTS})

    def __enter__(self) -> Self:
        self._guard = RunGuard(removal(self.project))
        self.configure({})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            sys.stderr.write(self.compose("logs", "--no-color", "--tail", _TAIL_LINES))
        profiles = [part for name in _PROFILES for part in ("--profile", name)]
        self.compose(*profiles, "down", "--volumes", "--remove-orphans")
        shutil.rmtree(self._directory)
        self._ports.release()
        self._guard.dismiss()

    def configure(self, variables: Mapping[str, str]) -> None:
        """Add variables to the deployment's ``.env``, for containers that are created again."""
        self._variables |= variables
        self._env_file.unlink(missing_ok=True)
        env_file.write(self._env_file, self._variables)

    def compose(self, *arguments: str) -> str:
        """Run ``docker compose`` on this project.

        Returns:
            What it printed on standard output.

        Raises:
            DeploymentError: it failed.
        """
        return docker(*self._command(arguments), env=self._environment())

    def pipe(self, *arguments: str, data: bytes | None = None) -> bytes:
        """Run ``docker compose`` on this project with bytes for its standard input.

        Returns:
            The bytes that it wrote to standard output.

        Raises:
            DeploymentError: it failed.
        """
        done = subprocess.run(
            ["docker", *self._command(arguments)],
            check=False,
            env=self._environment(),
            cwd=ROOT,
            input=data or b"",
            capture_output=True,
        )
        if done.returncode != 0:
            raise DeploymentError(
                f"docker compose {' '.join(arguments)} exited {done.returncode}:\n"
                f"{done.stderr[-4000:].decode(errors='replace')}"
            )
        return done.stdout

    def _command(self, arguments: Sequence[str]) -> list[str]:
        files = [part for file in self._files for part in ("--file", str(file))]
        settings = ("--ansi", "never", "--env-file", str(self._env_file))
        return ["compose", *settings, *files, *arguments]

    def _environment(self) -> dict[str, str]:
        return self._clean_environment() | {
            "FECAPASS_ENV_FILE": str(self._env_file),
            "COMPOSE_PROJECT_NAME": self.project,
        }

    def containers(self, service: str) -> list[Container]:
        """The containers of a service, running or not."""
        lines = self.compose("ps", "--all", "--format", "json", service).splitlines()
        return [
            Container(entry["Name"], entry["State"], entry["Health"], entry["ExitCode"])
            for entry in map(json.loads, lines)
        ]

    def images(self, services: Iterable[str]) -> set[str]:
        """The images that some services are made from."""
        profiles = [part for name in _PROFILES for part in ("--profile", name)]
        described = json.loads(self.compose(*profiles, "config", "--format", "json"))["services"]
        return {described[name]["image"] for name in services}

    def leftovers(self) -> list[str]:
        """Containers, volumes and networks that carry this project's label."""
        label = f"label={_PROJECT_LABEL}={self.project}"
        return [
            f"{kind} {name}"
            for kind, command in (
                ("container", ("ps", "--all", "--format", "{{.Names}}")),
                ("volume", ("volume", "ls", "--format", "{{.Name}}")),
                ("network", ("network", "ls", "--format", "{{.Name}}")),
            )
            for name in docker(*command, "--filter", label).split()
        ]

    def settings(self) -> Settings:
        """The settings of a program on this host that uses the deployment."""
        return load_settings(Settings, (self._env_file,))

    def port(self, variable: str) -> int:
        """A published port, by the variable that names it."""
        return int(self._variables[variable])

    async def fecapass(self, *arguments: str) -> None:
        """Run ``fecapass`` on this host against the deployment.

        Raises:
            DeploymentError: it failed.
        """
        environment = self._clean_environment() | {"FECAPASS_ENV_FILE": str(self._env_file)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "infra.cli.main", *arguments, env=environment, cwd=ROOT
        )
        if await process.wait() != 0:
            raise DeploymentError(f"fecapass {' '.join(arguments)} exited {process.returncode}")

    def _clean_environment(self) -> dict[str, str]:
        """This process's environment without what would win over the deployment's ``.env``."""
        return {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("FECAPASS_") and name not in self._variables
        }


def docker(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Run ``docker`` and return what it printed.

    Raises:
        DeploymentError: it failed.
    """
    done = subprocess.run(
        ["docker", *arguments],
        check=False,
        env=env,
        cwd=ROOT,
        text=True,
        errors="replace",
        capture_output=True,
    )
    if done.returncode != 0:
        raise DeploymentError(
            f"docker {' '.join(arguments)} exited {done.returncode}:\n{done.stderr[-4000:]}"
        )
    return done.stdout
