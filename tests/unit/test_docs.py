"""The documentation, held to the code: links lead somewhere, what is named exists."""

import ast
import re
import shlex
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid5

import pytest
import typer
from msgspec.structs import fields

from config.settings import Group, Settings, load_settings
from domain import failures
from domain.events import NAMESPACE, EventKind, FaceMatch, MatchType, ProcessedFrame
from domain.people.people_changes import PeopleChange, PeopleChangeType
from domain.upload_answers import UploadAnswer
from domain.visit_events import Visit, VisitReason, VisitState, VisitType
from infra.cli.main import app
from sinks import store_errors
from streams.contract.envelope import PROCESSED_TYPE
from streams.contract.topics import Topics
from streams.contract.visit_codec import visit_from_json
from streams.dead_letters import dead_letter_routing, dead_letter_writer

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TEXTS = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
EVENTS = TEXTS["docs/events.md"]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def blocks(text, language):
    return [body for name, body in FENCE.findall(text) if name == language]


def anchors(text):
    """The anchors that GitHub makes of the headings."""
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in HEADING.findall(text))
    return {title.replace(" ", "-") for title in plain}


def settings_names(prefix="FECAPASS_", fields=Settings.model_fields):
    """Variables of the process: single ones, and those of groups, of groups in them too."""
    for name, field in fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Group):
            yield from settings_names(f"{prefix}{name.upper()}__", kind.model_fields)
        else:
            yield f"{prefix}{name.upper()}"


def command_lines():
    """Every call of ``fecapass`` in the pages: in console blocks, and in code within the text."""
    for page, text in TEXTS.items():
        for block in blocks(text, "console"):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("$ ") and "fecapass " in line:
                    yield page, line.split("fecapass ", 1)[1].split(" #")[0]
        for code in re.findall(r"`fecapass ([^`\n]+)`", FENCE.sub("", text)):
            yield page, code


def make_targets():
    for page, text in TEXTS.items():
        for target in re.findall(r"(?:`|^\$ )make ([a-z-]+)", text, re.MULTILINE):
            yield page, target


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page):
    for target in LINK.findall(FENCE.sub("", TEXTS[page])):
        if re.match(r"\w+://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text()), target


def test_the_pages_name_commands_at_all():
    assert {"demo", "up", "init-db", "enrol", "publish", "search", "recent"} <= {
        shlex.split(line)[0] for _, line in command_lines()
    }


@pytest.mark.parametrize(("page", "line"), sorted(set(command_lines())))
def test_commands_and_their_options_exist(page, line):
    command = typer.main.get_command(app)
    words = shlex.split(line)
    while words and hasattr(command, "commands"):
        name = words[0] if words[0] in command.commands else getattr(command, "default", None)
        assert name in command.commands, f"{page}: fecapass {line}"
        command = command.commands[name]
        words = words[1:] if words[0] == name else words
    known = {
        option for param in command.params for option in [*param.opts, *param.secondary_opts]
    } | {"--help"}
    assert {word for word in words if word.startswith("--")} <= known, f"{page}: fecapass {line}"


@pytest.mark.parametrize(("page", "target"), sorted(set(make_targets())))
def test_make_targets_exist(page, target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), page


def test_settings_exist():
    known = {*settings_names(), "FECAPASS_ENV_FILE", "FECAPASS_SECRETS_DIR", "FECAPASS_SHARED"}
    for page, text in TEXTS.items():
        # A star stands for a family of names.
        named = set(re.findall(r"FECAPASS_[A-Z0-9_]+(?!\w|\*)", text))
        assert named <= known, page


@pytest.mark.parametrize("block", blocks(TEXTS["docs/deployment.md"], "ini"))
def test_settings_blocks_parse(block, tmp_path, monkeypatch):
    for name in [*settings_names(), "FECAPASS_ENV_FILE"]:
        monkeypatch.delenv(name, raising=False)
    required = tmp_path / "required.env"
    required.write_text(
        "FECAPASS_MAIN_DB__PASSWORD=a\nFECAPASS_VECTOR_DB__PASSWORD=b\n"
        "FECAPASS_S3__ACCESS_KEY_ID=c\nFECAPASS_S3__SECRET_ACCESS_KEY=d\n"
    )
    shown = tmp_path / "shown.env"
    shown.write_text(block)
    assert load_settings(Settings, (required, shown)) != load_settings(Settings, (required,))


def test_the_block_of_own_servers_is_all_that_is_required(tmp_path, monkeypatch):
    for name in settings_names():
        monkeypatch.delenv(name, raising=False)
    own, _models = blocks(TEXTS["docs/deployment.md"], "ini")
    file = tmp_path / "own.env"
    file.write_text(own)
    assert load_settings(Settings, (file,)).kafka.replication_factor == 3


def test_the_contract_names_topics_and_types():
    topics = Topics()
    for topic in (*topics.consumed, topics.visits, *map(topics.dead_letter, topics.consumed)):
        assert f"`{topic}`" in EVENTS
    for kind in (*EventKind, *MatchType, *VisitType):
        assert f"`{kind.value}`" in EVENTS


def test_the_contract_names_every_field_of_a_match():
    match, _visit = blocks(EVENTS, "json")
    for field in fields(FaceMatch):
        assert f"| `{field.name}` |" in EVENTS
        assert f'"{field.name}"' in match


def test_the_contract_names_every_field_and_reason_of_a_visit():
    _match, visit = blocks(EVENTS, "json")
    assert visit_from_json(visit.encode()).state is VisitState.ENDED
    section = EVENTS.partition("## Reading visits")[2].partition("\n## ")[0]
    for field in fields(Visit):
        assert (f"`{field.name}`" in section) == (field.name != "announced_at")
        assert (f'"{field.name}"' in visit) == (field.name != "announced_at")
    for reason in VisitReason:
        assert f"| `{reason.value}` |" in section


def test_the_contract_names_every_field_and_type_of_a_change_of_people():
    section = EVENTS.partition("## Reading changes of people")[2].partition("\n## ")[0]
    for field in fields(PeopleChange):
        assert f"`{field.name}`" in section
    assert f"`{Topics().people}`" in section
    for kind in PeopleChangeType:
        assert f"`{kind.value}`" in EVENTS


def test_the_contract_names_every_field_of_a_processed_frame():
    section = EVENTS.partition("## Processed frames")[2].partition("\n## ")[0]
    for field in fields(ProcessedFrame):
        assert f"`{field.name}`" in section
    for name in (Topics().processed, PROCESSED_TYPE):
        assert f"`{name}`" in section


def test_the_contract_names_every_field_of_an_answer():
    for field in fields(UploadAnswer):
        assert f"`{field.name}`" in EVENTS


def test_the_contract_derives_identifiers_as_the_code_does():
    assert uuid5(NAMESPACE_DNS, "fecapass") == NAMESPACE
    assert f"# {NAMESPACE}" in EVENTS


def reasons():
    """Every reason that a `Reject` or an image's rejection is raised with in the code."""
    calls = {"Reject", "GivenUp", "ImageRejected", "StoreRejected"}
    for room in ("domain", "streams", "agents", "sinks", "ml"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                    continue
                if node.func.id in calls - {"StoreRejected"} and node.args:
                    first = node.args[0]
                    if isinstance(first, ast.Constant):
                        yield first.value
                if node.func.id == "StoreRejected":
                    for keyword in node.keywords:
                        if keyword.arg == "reason" and isinstance(keyword.value, ast.Constant):
                            yield keyword.value.value


def test_the_contract_names_every_reason_of_a_dead_letter():
    found = set(reasons())
    assert {"corrupt", "bad_time", "forbidden_bucket"} <= found
    table = set(re.findall(r"^\| `(\w+)` \| ", TEXTS["docs/hostile-input.md"], re.MULTILINE))
    indirect = {
        "store_rejected",
        dead_letter_routing.UNEXPECTED,
        failures.Denied.reason,
        store_errors.ObjectFault.reason,
    }
    assert table - {"dlq_reason"} == found | indirect


def test_the_contract_names_every_header_of_a_dead_letter():
    source = Path(dead_letter_writer.__file__).read_text()
    names = set(re.findall(r'^        "(\w+)": ', source, re.MULTILINE))
    assert {"reason", "offset"} <= names
    for name in names:
        assert f"`dlq_{name}`" in EVENTS


def test_the_producer_in_the_contract_is_the_example_file():
    source = (ROOT / "docs" / "examples" / "producer.py").read_text()
    shown = next(block for block in blocks(EVENTS, "python") if "AIOKafkaProducer" in block)
    assert shown in source


def properties():
    """Number, title and test file of each property of the plan's page."""
    return re.findall(r"^\| (\d+) \| ([^|]+) \| `([^`]+)` \|$", TEXTS["docs/plan.md"], re.MULTILINE)


def test_the_plan_has_its_eleven_properties():
    assert [int(number) for number, _, _ in properties()] == list(range(1, 12))


@pytest.mark.parametrize(("number", "title", "file"), properties())
def test_a_property_of_the_plan_is_named_in_the_docstring_of_its_tests(number, title, file):
    tree = ast.parse((ROOT / file).read_text())
    documented = {
        node.name: ast.get_docstring(node) or ""
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }
    named = [
        name
        for name, text in documented.items()
        if re.match(rf"Propert(y|ies)\b[^:]*\b{number}\b", text) and title in text
    ]
    assert len(named) >= 2, "one test of the real files, one of broken copies"


def test_the_files_that_the_plan_names_exist():
    for name in re.findall(r"`([\w.-]+(?:/[\w.-]*)+)`", TEXTS["docs/plan.md"]):
        assert (ROOT / name).exists(), name


def test_the_readme_fits_three_screens():
    assert len(TEXTS["README.md"].splitlines()) <= 200
