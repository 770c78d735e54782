"""What must hold of the deployment's files. Each check takes documents and returns the problems.

A problem is one line that begins with what is at fault, so that a test can ask for it by name.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from tests.unit.deployment.documents import ROOMS, Instruction, Pin

NETWORK = "fecapass-network"
STORES = {
    "db_main": "/var/lib/postgresql/data",
    "db_vector": "/var/lib/postgresql/data",
    "redis": "/data",
    "kafka": "/var/lib/kafka/data",
    "s3": "/data",
    "prometheus": "/prometheus",
    "grafana": "/var/lib/grafana",
}
ONE_SHOT = {"init"}
OURS = {"init", "app", "identify", "follow", "maintain", "detect", "detect_gpu"}
SERVICES = OURS | set(STORES)
NEEDS = {
    "init": {"db_main", "db_vector", "kafka", "s3"},
    "app": {"init", "db_main", "db_vector", "redis", "kafka", "s3"},
    "identify": {"init", "db_main", "db_vector", "redis", "kafka", "s3"},
    "follow": {"init", "db_main", "db_vector", "redis", "kafka"},
    "maintain": {"init", "db_main", "db_vector", "redis", "kafka", "s3"},
    "detect": {"init", "kafka", "s3"},
    "detect_gpu": {"init", "kafka", "s3"},
}
RUNTIMES = {"onnxruntime", "onnxruntime-gpu"}
#: A second runtime in addition to onnxruntime, used on a CPU only.
CPU_ONLY = {"openvino", "openvino-telemetry"}
FILES = (
    "Dockerfile.app", "Dockerfile.gpu", "docker-compose.yml", ".dockerignore", ".env.example",
    "Makefile", "README.md", "pyproject.toml", "requirements.txt", "requirements-gpu.txt",
    "requirements-dev.txt", "requirements-demo.txt", "requirements-test.txt",
    "requirements-chaos.txt", "requirements-bench.txt", "requirements-lint.txt",
)  # fmt: skip
API_PORT = "8000"
_OF_THE_STORES = (
    "FECAPASS_MAIN_DB__PASSWORD", "FECAPASS_VECTOR_DB__PASSWORD", "FECAPASS_REDIS__PASSWORD",
)  # fmt: skip
#: What .env holds and a container must not see.
WITHHELD = {
    **dict.fromkeys(("init", "app", "identify", "follow", "maintain"), ("GRAFANA_ADMIN_PASSWORD",)),
    **dict.fromkeys(("detect", "detect_gpu"), ("GRAFANA_ADMIN_PASSWORD", *_OF_THE_STORES)),
}
#: What the build context consists of, without what is left out within.
CONTEXT = (*ROOMS, "requirements.txt", "requirements-gpu.txt", "LICENSE")
#: Settings that a deployment relies on, with their defaults; `...` where one has to be given.
DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "main_db": {
        "host": "127.0.0.1", "port": 5432, "name": "fecapass_main", "user": "fecapass",
        "password": ...,
    },
    "vector_db": {
        "host": "127.0.0.1", "port": 5432, "name": "fecapass_vector", "user": "fecapass",
        "password": ...,
    },
    "kafka": {
        "bootstrap_servers": "127.0.0.1:9092", "topic_prefix": "", "frames_partitions": 8,
        "detected_partitions": 8, "replication_factor": 1, "session_timeout": 30.0,
    },
    "s3": {
        "endpoint_url": None, "bucket": "fecapass", "access_key_id": ..., "secret_access_key": ...,
    },
    "redis": {"host": "127.0.0.1", "port": 6379, "password": None},
    "models": {"detector": "yunet", "embedder": "sface", "execution_provider": "auto"},
    "workers": {
        "batch_size": 8, "stop_timeout": 20.0, "health_host": "127.0.0.1", "health_port": 0,
    },
    "api": {"host": "127.0.0.1", "port": 8000},
}  # fmt: skip

_SECRET = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|TOKEN|AUTH$")
_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)")
_PASSED_ON = re.compile(r"\$\{\w+:\?[^}]+\}")
_BUILD_TOOLS = re.compile(r"apt-get|apk add|\bgcc\b|build-essential|\bpip install|\buv pip")

Compose = Mapping[str, Any]
Problems = list[str]


def seconds(text: str) -> float:
    """A compose duration such as ``1m30s``."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)([hms])", text))


def services(compose: Compose) -> Problems:
    """Every service is there and says all that an operator relies on."""
    problems = [f"{name}: missing" for name in sorted(SERVICES - set(compose["services"]))]
    for name, service in compose["services"].items():
        problems += [f"{name}: {problem}" for problem in _service(name, service)]
    networks = compose.get("networks") or {}
    if (networks.get(NETWORK) or {}).get("name") != NETWORK:
        problems.append(f"networks: {NETWORK} is not named")
    return problems


def _service(name: str, service: Mapping[str, Any]) -> Iterable[str]:
    image = service.get("image", "")
    if ":" not in image:
        yield "no image with a tag"
    if NETWORK not in service.get("networks", ()):
        yield f"not on {NETWORK}"
    limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
    yield from (f"no limit of {what}" for what in ("cpus", "memory") if not limits.get(what))
    if not service.get("stop_grace_period"):
        yield "no stop_grace_period"
    if service.get("restart") != ("no" if name in ONE_SHOT else "unless-stopped"):
        yield "restart is not as it should be"
    if "max-size" not in service.get("logging", {}).get("options", {}):
        yield "its log grows without bound"
    yield from _health(name, service.get("healthcheck") or {})
    yield from _secrets(service.get("environment") or {})
    if name in OURS:
        yield from _ours(service)


def _health(name: str, healthcheck: Mapping[str, Any]) -> Iterable[str]:
    if name in ONE_SHOT:
        return
    for key in ("test", "interval", "timeout", "retries"):
        if not healthcheck.get(key):
            yield f"its health check has no {key}"


def _secrets(environment: Mapping[str, Any]) -> Iterable[str]:
    for variable, value in environment.items():
        if _SECRET.search(variable) and value and not _PASSED_ON.fullmatch(str(value)):
            yield f"{variable} is not passed on from a required variable"


def _ours(service: Mapping[str, Any]) -> Iterable[str]:
    if not service.get("env_file"):
        yield "no env_file"
    if not service.get("build", {}).get("dockerfile"):
        yield "no Dockerfile"
    if not service.get("read_only"):
        yield "its root can be written"
    if service.get("cap_drop") != ["ALL"]:
        yield "it keeps capabilities"


def stopping(compose: Compose, stop_timeout: float) -> Problems:
    """Workers get longer to stop than they may take to finish what they began."""
    return [
        f"{name}: it is killed before it may have finished"
        for name in ("identify", "follow", "detect", "detect_gpu")
        if seconds(compose["services"][name].get("stop_grace_period", "10s")) <= stop_timeout
    ]


def volumes(compose: Compose) -> Problems:
    """Every store keeps its data in a named volume of its own."""
    problems, owners = [], {}
    for name, place in STORES.items():
        mounts = dict(
            reversed(mount.split(":")[:2])
            for mount in compose["services"].get(name, {}).get("volumes", ())
        )
        volume = mounts.get(place)
        if volume is None:
            problems.append(f"{name}: nothing is mounted at {place}")
        elif volume not in compose.get("volumes", {}):
            problems.append(f"{name}: {volume} is not a declared volume")
        elif volume in owners:
            problems.append(f"{name}: shares {volume} with {owners[volume]}")
        else:
            owners[volume] = name
    return problems


def ports(compose: Compose, app_image: Iterable[Instruction]) -> Problems:
    """The API is published on all addresses, all else on loopback, no port twice, no worker's."""
    problems, seen = [], {}
    for name, service in compose["services"].items():
        for port in service.get("ports", ()):
            host, _, inner = str(port).rpartition(":")
            if name == "app" and inner != API_PORT:
                problems.append(f"app: publishes {inner}, not {API_PORT}")
            if name != "app" and not host.startswith("127.0.0.1:"):
                problems.append(f"{name}: {port} is published beyond loopback")
            if host in seen:
                problems.append(f"{name}: {host} is {seen[host]}'s")
            seen[host] = name
        if name in OURS - {"app"} and service.get("ports"):
            problems.append(f"{name}: a published port would keep it from being scaled")
    return [*problems, *_api(compose["services"].get("app", {}), app_image)]


def _api(app: Mapping[str, Any], image: Iterable[Instruction]) -> Iterable[str]:
    environment = app.get("environment", {})
    if not app.get("ports"):
        yield "app: the API is not published"
    if environment.get("FECAPASS_API__PORT") != API_PORT:
        yield f"app: it does not listen on {API_PORT}"
    if environment.get("FECAPASS_API__HOST") != "0.0.0.0":  # noqa: S104 - inside a container
        yield "app: it listens on loopback alone"
    if API_PORT not in {port for i in image if i.name == "EXPOSE" for port in i.rest.split()}:
        yield f"Dockerfile.app: {API_PORT} is not exposed"


def health_dependencies(compose: Compose) -> Problems:
    """A service that needs another waits until it is healthy or done; there is no circle."""
    problems = []
    for name, needed in NEEDS.items():
        depends = compose["services"].get(name, {}).get("depends_on", {})
        problems += [f"{name}: does not wait for {other}" for other in needed - set(depends)]
    for name, service in compose["services"].items():
        for other, how in (service.get("depends_on") or {}).items():
            target = compose["services"].get(other)
            if target is None:
                problems.append(f"{name}: waits for {other}, which is not there")
                continue
            wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            if how.get("condition") != wanted:
                problems.append(f"{name}: waits for {other}, but not until {wanted}")
            if other not in ONE_SHOT and not (target.get("healthcheck") or {}).get("test"):
                problems.append(f"{name}: waits for the health of {other}, which has no check")
    return problems + _circles(compose)


def _circles(compose: Compose) -> Problems:
    waiting = {n: set(s.get("depends_on") or {}) for n, s in compose["services"].items()}
    while free := {name for name, others in waiting.items() if not others & waiting.keys()}:
        waiting = {name: others for name, others in waiting.items() if name not in free}
    return [f"{name}: waits in a circle" for name in waiting]


def least_privilege(compose: Compose) -> Problems:
    """No container sees a secret of .env that does not concern it."""
    return [
        f"{name}: is given {variable}"
        for name, variables in WITHHELD.items()
        for variable in variables
        if compose["services"].get(name, {}).get("environment", {}).get(variable) != ""
    ]


def image(name: str, instructions: list[Instruction]) -> Problems:
    """A Dockerfile: slim base, two stages, pinned dependencies, no root, nothing to build with."""
    last = max(i.stage for i in instructions)
    final = [i for i in instructions if i.stage == last]
    rest = {i.name: i.rest for i in final}
    problems = []
    if last < 1:
        problems.append("one stage only")
    if any(i.rest.split()[0] != "python:3.11-slim" for i in instructions if i.name == "FROM"):
        problems.append("not built on python:3.11-slim")
    if rest.get("WORKDIR") != "/code":
        problems.append("does not work in /code")
    if rest.get("USER", "root").split(":")[0] in ("root", "0"):
        problems.append("runs as root")
    if "infra.operations.healthcheck" not in rest.get("HEALTHCHECK", ""):
        problems.append("no health check")
    if not any(i.name == "LABEL" for i in final):
        problems.append("no labels")
    if rest.get("STOPSIGNAL") != "SIGTERM":
        problems.append("no stop signal")
    problems += [
        f"holds {variable}"
        for i in instructions
        if i.name in ("ENV", "ARG")
        for variable in re.findall(r"\b([A-Z_]+)(?==|$)", i.rest)
        if _SECRET.search(variable)
    ]
    if any(i.name == "RUN" and _BUILD_TOOLS.search(i.rest) for i in final):
        problems.append("installs something in its last stage")
    built = " ".join(i.rest for i in instructions if i.name == "RUN" and i.stage < last)
    problems += [
        f"without {flag}"
        for flag in ("--require-hashes", "ml.runtime.prepare_models")
        if flag not in built
    ]
    return [f"{name}: {problem}" for problem in problems]


def parity(
    app: list[Instruction], gpu: list[Instruction], app_pins: list[Pin], gpu_pins: list[Pin]
) -> Problems:
    """Both images hold the same code, as the same user, with the same versions of everything.

    They differ in the runtime of the models, and in what CUDA comes with.
    """
    problems = []
    for name in ("FROM", "WORKDIR", "USER", "ENTRYPOINT", "STOPSIGNAL", "COPY"):
        ours, theirs = ([i.rest for i in image if i.name == name] for image in (app, gpu))
        theirs = [rest.replace("requirements-gpu.txt", "requirements.txt") for rest in theirs]
        if ours != theirs:
            problems.append(f"{name}: {ours} against {theirs}")
    left, right = (
        {(p.name, p.marker): p.version for p in pins if p.name not in RUNTIMES | CPU_ONLY}
        for pins in (app_pins, gpu_pins)
    )
    for key, version in left.items():
        if right.get(key) != version:
            problems.append(f"{key[0]}: {version} in the app, {right.get(key)} on the GPU")
    extra = sorted(name for name, _ in right.keys() - left.keys() if not name.startswith("nvidia-"))
    return problems + [f"{name}: on the GPU only" for name in extra]


def requirements(name: str, pins: list[Pin]) -> Problems:
    """Every requirement is a version with at least one hash, and there is one runtime."""
    problems = [f"{name}: {p.name} is not pinned" for p in pins if not p.version]
    problems += [f"{name}: {p.name} has no hash" for p in pins if p.version and not p.hashes]
    runtimes = sorted(RUNTIMES & {p.name for p in pins})
    if len(runtimes) != 1:
        problems.append(f"{name}: runtimes of the models: {runtimes}")
    return problems


def imports(imported: Mapping[str, set[str]], pins: list[Pin], own: set[str]) -> Problems:
    """Every distribution that the code imports is required.

    Args:
        imported: distributions that bring a module, by the module's name.
        pins: what is required.
        own: modules for which something else stands (the other runtime, optional extras).
    """
    names = {p.name for p in pins}
    return [
        f"{module}: none of {sorted(distributions)} is required"
        for module, distributions in imported.items()
        if module not in own and not distributions & names
    ]


def structure(files: set[str]) -> Problems:
    """The rooms and root files that the project is made of."""
    problems = [f"{room}: no package" for room in ROOMS if f"{room}/__init__.py" not in files]
    return problems + [f"{name}: missing" for name in FILES if name not in files]


def ignored(patterns: list[str]) -> Problems:
    """The build context holds what the images need, and neither secrets nor tests."""
    problems = [] if patterns[:1] == ["*"] else ["*: not everything is left out to begin with"]
    problems += [f"{name}: left out" for name in CONTEXT if f"!{name}" not in patterns]
    if "**/.env*" not in patterns:
        problems.append("**/.env*: taken in")
    return problems + [
        f"{pattern[1:]}: taken in"
        for pattern in patterns
        if pattern.startswith("!") and pattern[1:] not in CONTEXT
    ]


def attributes(groups: Mapping[str, type[BaseModel]]) -> Problems:
    """Every setting that a deployment relies on is there, with its default.

    Args:
        groups: models of the groups of settings, by name.
    """
    problems = []
    for group, defaults in DEFAULTS.items():
        fields = groups[group].model_fields
        for name, default in defaults.items():
            if name not in fields:
                problems.append(f"{group}.{name}: missing")
            elif (... if fields[name].is_required() else fields[name].default) != default:
                problems.append(f"{group}.{name}: its default is not {default}")
    return problems


def documentation(
    compose_text: str,
    images: list[Instruction],
    documented: Mapping[str, str],
    written: Iterable[str],
) -> Problems:
    """Every variable that a deployment reads is described in ``.env.example``."""
    read = set(_VARIABLE.findall(compose_text)) - {"FECAPASS_ENV_FILE"}
    read |= set(re.findall(r"^\s+(FECAPASS_\w+):", compose_text, re.MULTILINE))
    for instruction in images:
        if instruction.name == "ENV":
            read |= set(re.findall(r"\b(FECAPASS_\w+)=", instruction.rest))
    problems = [f"{name}: not documented" for name in sorted(read - set(documented))]
    problems += [
        f"{name}: written, but not documented" for name in written if name not in documented
    ]
    return problems + [f"{name}: no description" for name, text in documented.items() if not text]
