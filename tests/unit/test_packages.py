"""The rooms: each imports only what lies below it. The table stands in docs/architecture.md."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: The packages of ours that a package may import besides itself; None: any.
RULES: dict[str, frozenset[str] | None] = {
    "config": frozenset(),
    "domain": frozenset(),
    "ml": frozenset({"config", "domain"}),
    "streams": frozenset({"config", "domain"}),
    "sinks": frozenset({"config", "domain"}),
    "agents": frozenset({"config", "domain", "ml", "streams", "sinks"}),
    "services": frozenset({"config", "domain", "ml", "streams", "sinks"}),
    "api": frozenset({"config", "domain", "streams", "sinks", "services"}),
    "infra": None,
    "benchmarks": None,
}
OURS = {*RULES, "tests"}


def rooms():
    """Folders at the top that hold Python packages, but for the tests."""
    return {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}


def imports(source):
    """Modules of ours that a source imports, anywhere in it, with each name it takes from them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide which room is meant"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in OURS)


def forbidden(room, source):
    allowed = RULES[room]
    for name in imports(source):
        parts = name.split(".")
        above = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
        if parts[0] == "tests" or (allowed is not None and not above & {room, *allowed}):
            yield name


def test_every_room_has_a_rule():
    assert rooms() <= RULES.keys()


@pytest.mark.parametrize("room", sorted(rooms()))
def test_a_room_imports_only_what_lies_below_it(room):
    found = {
        str(path.relative_to(ROOT)): names
        for path in (ROOT / room).rglob("*.py")
        if (names := list(forbidden(room, path.read_text())))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("config", "import ml.gallery.exact_search"),
        ("ml", "from sinks import records"),
        ("domain", "import config.settings"),
        ("ml", "def f():\n    from streams.contract.envelope import Envelope"),
        ("streams", "from ml.recognition import alignment"),
        ("sinks", "from streams.contract import topics"),
        ("agents", "import infra.database.migrate"),
        ("agents", "from services import users"),
        ("services", "from api.http import problems"),
        ("api", "from ml.gallery.exact_search import Gallery"),
        ("api", "from agents import processes"),
        ("infra", "from tests.conftest import stack"),
    ],
)
def test_the_rule_sees_what_is_forbidden(room, source):
    assert list(forbidden(room, source))


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("config", "import os"),
        ("ml", "from domain.arrays import FloatArray"),
        ("api", "from domain.decisions.matching import decide"),
        ("sinks", "from domain import events"),
        ("services", "from ml.runtime import registry"),
        ("agents", "import sinks.main.main_store"),
        ("infra", "import agents.processes.identify_process"),
    ],
)
def test_the_rule_lets_pass_what_is_allowed(room, source):
    assert not list(forbidden(room, source))


def test_only_the_api_knows_the_web_framework():
    """Commands and workers start faster without it."""
    found = [
        str(path.relative_to(ROOT))
        for path in modules()
        if path.relative_to(ROOT).parts[0] != "api"
        and re.search(r"^\s*(from|import) (fastapi|starlette)\b", path.read_text(), re.MULTILINE)
    ]
    assert found == []


def agents():
    """Packages of agents; what they share is next to them, and `processes` builds them."""
    return sorted({path.parent.name for path in (ROOT / "agents").glob("*/*.py")} - {"processes"})


@pytest.mark.parametrize("agent", agents())
def test_an_agent_does_not_reach_into_another_one(agent):
    others = {f"agents.{other}" for other in (*agents(), "processes") if other != agent}
    found = [
        (str(path.relative_to(ROOT)), name)
        for path in (ROOT / "agents" / agent).rglob("*.py")
        for name in imports(path.read_text())
        if ".".join(name.split(".")[:2]) in others
    ]
    assert found == []


#: Packages whose modules are named for what the outside calls them.
NAMED_OUTSIDE = {"cli", "routers", "schemas", "settings", "migrations"}

#: The most modules of a package; folders of commands have one for each.
MOST_MODULES = 12


def modules():
    paths = [path for room in sorted(rooms()) for path in (ROOT / room).rglob("*.py")]
    return [path for path in paths if path.name not in {"__init__.py", "__main__.py"}]


def test_a_file_name_says_which_file_is_meant():
    """Names are unique, but where commands, routes, settings and migrations give them."""
    kept = [
        path
        for path in modules()
        if not {"benchmarks", *NAMED_OUTSIDE} & set(path.relative_to(ROOT).parts[:-1])
    ]
    counted = Counter(path.name for path in kept)
    assert [str(path.relative_to(ROOT)) for path in kept if counted[path.name] > 1] == []


def test_a_package_is_small_enough_to_be_read_at_a_glance():
    sizes = Counter(path.parent.relative_to(ROOT) for path in modules())
    large = {str(folder): size for folder, size in sizes.items() if size > MOST_MODULES}
    # Migrations are numbered, and each is read alone.
    numbered = {"infra/migrations/main/versions"}
    # A command is looked for by its name.
    assert large.keys() <= {"infra/cli"} | numbered, large


def test_the_architecture_page_has_the_same_table():
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = dict(re.findall(r"^\| \[(\w+)/\]\([^)]+\) \|.*\| ([^|]+) \|$", page, re.MULTILINE))
    assert rows.keys() >= rooms()
    for room, text in rows.items():
        allowed = RULES[room]
        if allowed is None:
            assert text == "anything"
        elif room != "agents":
            assert set(re.findall(r"`(\w+)`", text)) == allowed
