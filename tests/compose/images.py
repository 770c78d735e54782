"""The images as they were built: whose code they run, what they hold, what they refuse."""

import asyncio
import json
import subprocess
from time import monotonic

from tests.compose.deployment import DeploymentError, docker

BASE_IMAGE = "python:3.11-slim"
APP_IMAGE = "fecapass-app:latest"
GPU_IMAGE = "fecapass-gpu:latest"

_PROVIDER = "FECAPASS_MODELS__EXECUTION_PROVIDER"
_LABELS = ("title", "description", "licenses")
_POLL_SECONDS = 0.5

#: Run inside an image: what it finds there must not, or must, be there. Prints the problems.
_INSPECTION = """
import importlib.util, os, pathlib, shutil
for tool in ("cc", "gcc", "make", "git", "curl"):
    if shutil.which(tool):
        print("holds", tool)
if importlib.util.find_spec("pip"):
    print("its environment holds pip")
if os.getuid() == 0 or os.access("/code", os.W_OK) or os.access("/opt/venv", os.W_OK):
    print("may change its own code")
for path in pathlib.Path("/code").rglob("*"):
    if path.name.startswith(".env") or path.name in (".git", "tests", "docker-compose.yml"):
        print("holds", path)
if len([*pathlib.Path(os.environ["FECAPASS_MODELS__CACHE_DIR"]).rglob("*.onnx")]) < 2:
    print("its models are not prepared")
"""


class ImageError(Exception):
    """An image is not as it should be."""


def sound(image: str) -> None:
    """Look into an image.

    Raises:
        ImageError: it holds what it should not, or lacks what it should hold.
        DeploymentError: there is no such image, or it cannot be run.
    """
    (described,) = json.loads(docker("image", "inspect", image))
    config = described["Config"]
    problems = [
        f"no label {label}"
        for label in _LABELS
        if not (config["Labels"] or {}).get(f"org.opencontainers.image.{label}")
    ]
    if not config.get("Healthcheck"):
        problems.append("no health check")
    if config["WorkingDir"] != "/code":
        problems.append("does not work in /code")
    inspection = ("run", "--rm", "--network", "none", "--entrypoint", "python")
    problems += docker(*inspection, image, "-c", _INSPECTION).splitlines()
    if problems:
        raise ImageError(f"{image}: {', '.join(problems)}")


def size(image: str) -> str:
    """What ``docker images`` says that it takes."""
    return docker("image", "ls", "--format", "{{.Size}}", image).strip()


def refuses_a_missing_gpu(image: str = GPU_IMAGE) -> None:
    """A worker of the GPU image that is given no GPU ends, and says which setting decides it.

    Raises:
        ImageError: it starts nevertheless, or does not say why it ends.
    """
    ended = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", image],
        check=False,
        text=True,
        errors="replace",
        capture_output=True,
    )
    if ended.returncode == 0 or f"{_PROVIDER}=cuda" not in ended.stderr:
        raise ImageError(f"{image} without a GPU exited {ended.returncode}: {ended.stderr[-2000:]}")


async def allows_the_cpu(network: str, kafka: str, seconds: float, image: str = GPU_IMAGE) -> None:
    """The same worker is healthy without a GPU once its settings allow the CPU.

    Args:
        network: of the deployment whose Kafka it joins.
        kafka: bootstrap servers, as seen from that network.
        seconds: to wait at most.
        image: what to run.

    Raises:
        ImageError: it ended, or was not healthy in time.
    """
    variables = ("--env", f"{_PROVIDER}=cpu", "--env", f"FECAPASS_KAFKA__BOOTSTRAP_SERVERS={kafka}")
    name = docker("run", "--detach", "--network", network, *variables, image).strip()
    try:
        deadline = monotonic() + seconds
        while (state := _state(name)) != "running healthy":
            if not state.startswith("running") or monotonic() > deadline:
                raise ImageError(f"{image} on the CPU is {state}: {_log(name)}")
            await asyncio.sleep(_POLL_SECONDS)
        await asyncio.to_thread(docker, "stop", "--time", "30", name)
    finally:
        docker("rm", "--force", name)


def _state(container: str) -> str:
    return docker(
        "inspect", "--format", "{{.State.Status}} {{.State.Health.Status}}", container
    ).strip()


def _log(container: str) -> str:
    try:
        return docker("logs", "--tail", "20", container)
    except DeploymentError as error:
        return str(error)
