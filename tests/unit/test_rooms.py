"""The rooms: each imports only what lies below it. The table stands in docs/architecture.md."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: What a room may import of ours besides itself: whole rooms, or single modules of them.
RULES: dict[str, frozenset[str] | None] = {
    "config": frozenset(),
    "ml": frozenset({"config"}),
    "streams": frozenset({"config"}),
    "sinks": frozenset({"config", "streams.events", "streams.failures", "streams.uploads"}),
    "agents": frozenset({"config", "ml", "streams", "sinks"}),
    # Of ml what is pure and small: the API holds no model.
    "api": frozenset(
        {
            "config",
            "streams",
            "sinks",
            "ml.decision",
            "ml.errors",
            "ml.image_headers",
            "ml.registry",
        }
    ),
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
        ("config", "import ml.gallery"),
        ("ml", "from sinks import records"),
        ("ml", "def f():\n    from streams.events import FaceMatch"),
        ("streams", "from ml.decision import decide"),
        ("sinks", "from streams.answers import decode_answer"),
        ("sinks", "from streams import answers"),
        ("agents", "import infra.schema"),
        ("api", "from ml.gallery import Gallery"),
        ("infra", "from tests.conftest import stack"),
    ],
)
def test_the_rule_sees_what_is_forbidden(room, source):
    assert list(forbidden(room, source))


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("config", "import os"),
        ("ml", "from ml.arrays import FloatArray"),
        ("api", "from ml.decision import decide"),
        ("sinks", "from streams import events"),
        ("agents", "import sinks.records"),
        ("infra", "import agents.workers"),
    ],
)
def test_the_rule_lets_pass_what_is_allowed(room, source):
    assert not list(forbidden(room, source))


def test_the_architecture_page_has_the_same_table():
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = dict(re.findall(r"^\| \[(\w+)/\]\([^)]+\) \|.*\| ([^|]+) \|$", page, re.MULTILINE))
    assert rows.keys() >= rooms()
    for room, text in rows.items():
        allowed = RULES[room]
        if allowed is None:
            assert text == "anything"
        elif room != "agents":
            named = {name.split(".")[0] for name in allowed}
            assert set(re.findall(r"`(\w+)`", text)) == named
