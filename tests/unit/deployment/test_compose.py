"""docker-compose.yml holds what it promises, and each check reports a file that is broken.

The mutations are drawn by hypothesis: whatever is taken out of the real file, the check that
watches it must say so, by name.
"""

import copy
import itertools

from hypothesis import given
from hypothesis import strategies as st

from config.settings import DetectSettings
from tests.unit.deployment import checks, documents
from tests.unit.deployment.mutants import about, some, without

COMPOSE = documents.compose()
APP = documents.dockerfile(documents.read("Dockerfile.app"))
NAMES = sorted(checks.SERVICES)
KEYS = ["image", "networks", "deploy", "stop_grace_period", "restart", "logging", "healthcheck"]
OUR_KEYS = ["env_file", "build", "read_only", "cap_drop"]
WORKERS = ["identify", "follow", "detect", "detect_gpu"]
EDGES = [
    (a, b) for a, service in COMPOSE["services"].items() for b in service.get("depends_on", {})
]


# ---------------------------------------------------------------- service configuration


def test_every_service_is_complete():
    """Property 1: Docker Compose service configuration completeness."""
    assert checks.services(COMPOSE) == []


@given(names=some(NAMES))
def test_missing_services_are_reported(names):
    """Property 1: Docker Compose service configuration completeness."""
    problems = checks.services(without(COMPOSE, *(("services", name) for name in names)))
    assert all(about(problems, f"{name}: missing") for name in names)


@given(gaps=some(itertools.product(NAMES, KEYS)))
def test_incomplete_services_are_reported(gaps):
    """Property 1: Docker Compose service configuration completeness."""
    problems = checks.services(without(COMPOSE, *(("services", *gap) for gap in gaps)))
    for name in NAMES:
        broken = {key for owner, key in gaps if owner == name}
        if name in checks.ONE_SHOT:
            broken -= {"healthcheck"}
        assert bool(about(problems, f"{name}: ")) == bool(broken)


@given(gaps=some(itertools.product(checks.OURS, OUR_KEYS)))
def test_loose_containers_of_ours_are_reported(gaps):
    problems = checks.services(without(COMPOSE, *(("services", *gap) for gap in gaps)))
    assert all(about(problems, f"{name}: ") for name, _ in gaps)


@given(names=some(NAMES), password=st.text("abcdefgh0123", min_size=1))
def test_a_password_in_the_file_is_reported(names, password):
    mutant = copy.deepcopy(COMPOSE)
    for name in names:
        mutant["services"][name].setdefault("environment", {})["SOME_PASSWORD"] = password
    problems = checks.services(mutant)
    assert all(about(problems, f"{name}: SOME_PASSWORD") for name in names)


def test_a_network_of_another_name_is_reported():
    assert checks.services(without(COMPOSE, ("networks", checks.NETWORK)))


def test_workers_may_finish_what_they_began():
    assert checks.stopping(COMPOSE, DetectSettings().workers.stop_timeout) == []


@given(graces=st.dictionaries(st.sampled_from(WORKERS), st.integers(0, 20), min_size=1))
def test_too_short_a_stop_is_reported(graces):
    mutant = copy.deepcopy(COMPOSE)
    for name, grace in graces.items():
        mutant["services"][name]["stop_grace_period"] = f"{grace}s"
    problems = checks.stopping(mutant, 20.0)
    assert all(about(problems, f"{name}: ") for name in graces)


def test_each_container_is_given_the_secrets_that_it_needs():
    assert checks.least_privilege(COMPOSE) == []


@given(
    given_away=some((n, v) for n, variables in checks.WITHHELD.items() for v in variables),
    password=st.none() | st.text(min_size=1),
)
def test_a_secret_given_to_whom_it_does_not_concern_is_reported(given_away, password):
    mutant = copy.deepcopy(COMPOSE)
    for name, variable in given_away:
        if password is None:  # what env_file brings is not taken away any more
            del mutant["services"][name]["environment"][variable]
        else:
            mutant["services"][name]["environment"][variable] = password
    problems = checks.least_privilege(mutant)
    assert all(f"{name}: is given {variable}" in problems for name, variable in given_away)


# ---------------------------------------------------------------- database volumes


def test_every_store_has_a_volume():
    """Property 3: database volume persistence."""
    assert checks.volumes(COMPOSE) == []


def volume_of(name):
    mounts = (mount.split(":") for mount in COMPOSE["services"][name]["volumes"])
    (volume,) = (parts[0] for parts in mounts if parts[1] == checks.STORES[name])
    return volume


@given(
    stores=st.dictionaries(
        st.sampled_from(sorted(checks.STORES)), st.sampled_from(["mount", "volume"]), min_size=1
    )
)
def test_stores_without_volumes_are_reported(stores):
    """Property 3: database volume persistence."""
    lost = [
        ("services", name, "volumes") if what == "mount" else ("volumes", volume_of(name))
        for name, what in stores.items()
    ]
    problems = checks.volumes(without(COMPOSE, *lost))
    assert {problem.partition(":")[0] for problem in problems} == set(stores)


@given(pair=st.permutations(sorted(checks.STORES)))
def test_two_stores_in_one_volume_are_reported(pair):
    first, second, *_ = pair
    mutant = copy.deepcopy(COMPOSE)
    mutant["services"][second]["volumes"] = [f"shared:{checks.STORES[second]}"]
    mutant["services"][first]["volumes"] = [f"shared:{checks.STORES[first]}"]
    mutant["volumes"]["shared"] = None
    assert [problem for problem in checks.volumes(mutant) if "shares" in problem]


# ---------------------------------------------------------------- exposed API port


def test_the_api_is_published_and_nothing_else_beyond_loopback():
    """Property 4: API port exposure."""
    assert checks.ports(COMPOSE, APP) == []


@given(name=st.sampled_from(NAMES), port=st.integers(1, 65535))
def test_a_wrong_port_is_reported(name, port):
    """Property 4: API port exposure."""
    mutant = copy.deepcopy(COMPOSE)
    mutant["services"][name]["ports"] = [f"{port}:{port}"]
    assert bool(about(checks.ports(mutant, APP), name)) == (name != "app" or port != 8000)


@given(
    lost=some(["ports", "FECAPASS_API__PORT", "FECAPASS_API__HOST", "EXPOSE"]),
    port=st.integers(1, 65535).filter(lambda port: port != 8000),
)
def test_an_api_that_cannot_be_reached_is_reported(lost, port):
    compose, image = copy.deepcopy(COMPOSE), APP
    app = compose["services"]["app"]
    if "ports" in lost:
        app["ports"] = [f"8000:{port}"]
    if "EXPOSE" in lost:
        image = [i for i in APP if i.name != "EXPOSE"]
        image.append(documents.Instruction(1, "EXPOSE", str(port)))
    if "FECAPASS_API__PORT" in lost:
        app["environment"]["FECAPASS_API__PORT"] = str(port)
    if "FECAPASS_API__HOST" in lost:
        app["environment"]["FECAPASS_API__HOST"] = "127.0.0.1"
    assert len(checks.ports(compose, image)) == len(lost)


# ---------------------------------------------------------------- health-check dependencies


def test_no_service_starts_before_what_it_needs():
    """Property 10: service health check dependencies."""
    assert checks.health_dependencies(COMPOSE) == []


@given(
    edges=st.dictionaries(
        st.sampled_from(EDGES), st.sampled_from(["drop", "started", "unchecked"]), min_size=1
    )
)
def test_a_start_that_does_not_wait_is_reported(edges):
    """Property 10: service health check dependencies."""
    mutant = copy.deepcopy(COMPOSE)
    for (name, other), how in edges.items():
        if how == "drop" and name in checks.NEEDS:
            del mutant["services"][name]["depends_on"][other]
        elif how == "unchecked" and other not in checks.ONE_SHOT:
            mutant["services"][other].pop("healthcheck", None)
        else:
            mutant["services"][name]["depends_on"][other]["condition"] = "service_started"
    problems = checks.health_dependencies(mutant)
    for name, other in edges:
        assert [problem for problem in about(problems, f"{name}: ") if other in problem]


@given(edges=some(EDGES))
def test_waiting_in_a_circle_is_reported(edges):
    mutant = copy.deepcopy(COMPOSE)
    for name, other in edges:
        waiting = mutant["services"][other].setdefault("depends_on", {})
        waiting[name] = {"condition": "service_healthy"}
    circles = [problem for problem in checks.health_dependencies(mutant) if "circle" in problem]
    assert all(about(circles, f"{name}: ") for edge in edges for name in edge)
