"""The files of a deployment, parsed; what the checks are given, real or broken."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]

_PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)(?:\[[a-z,]+\])?==(\S+?)(?:\s*;\s*(.*?))?\s*\\$")


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile: the stage that it stands in (from 0), its name, its rest."""

    stage: int
    name: str
    rest: str


#: The packages of the images.
ROOMS = ("agents", "api", "config", "domain", "infra", "ml", "services", "sinks", "streams")


def read(name: str) -> str:
    return (ROOT / name).read_text()


def compose() -> dict[str, Any]:
    """The file, its anchors written out: a change in one place is one in that place alone."""
    return json.loads(json.dumps(yaml.safe_load(read("docker-compose.yml"))))


def dockerfile(text: str) -> list[Instruction]:
    """Comments dropped, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    instructions, stage = [], -1
    for line in filter(str.strip, joined.splitlines()):
        name, _, rest = line.strip().partition(" ")
        stage += name == "FROM"
        instructions.append(Instruction(stage, name, rest.strip()))
    return instructions


@dataclass(frozen=True)
class Pin:
    """One requirement: the version, when it applies, and how many hashes it has."""

    name: str
    version: str
    marker: str
    hashes: int


def requirements(text: str) -> list[Pin]:
    pins: list[Pin] = []
    for line in text.splitlines():
        if found := _PIN.match(line):
            pins.append(Pin(found[1], found[2], found[3] or "", 0))
        elif line.strip().startswith("--hash=sha256:"):
            last = pins.pop()
            pins.append(Pin(last.name, last.version, last.marker, last.hashes + 1))
        elif line.strip() and not line.lstrip().startswith("#"):
            pins.append(Pin(line.strip(), "", "", 0))
    return pins


def env_example(text: str) -> dict[str, str]:
    """Name to description."""
    documented, comment = {}, []
    for line in text.splitlines():
        if found := re.match(r"^#([A-Z][A-Z0-9_]*)=", line):
            documented[found[1]] = " ".join(comment)
            comment = []
        elif line.startswith("# "):
            comment.append(line[2:])
        else:
            comment = []
    return documented


def files() -> set[str]:
    """Paths of the repository's files that matter to a deployment."""
    found = {path.name for path in ROOT.iterdir() if path.is_file()}
    for room in (*ROOMS, "tests"):
        if (ROOT / room).is_dir():
            found |= {path.relative_to(ROOT).as_posix() for path in (ROOT / room).rglob("*.py")}
    return found
