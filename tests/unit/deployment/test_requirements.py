"""Each target of the Makefile installs what it needs, and little else."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

from tests.unit.deployment import checks, documents

ROOT = documents.ROOT
PROJECT = tomllib.loads(documents.read("pyproject.toml"))
GROUPS = PROJECT["dependency-groups"]
FILES = {
    name: documents.requirements(documents.read(f"requirements-{name}.txt"))
    for name in ("dev", "demo", "test", "chaos", "bench", "lint", "docs")
}

#: What the programs of each target import, in addition to the packages.
IMPORTING = {
    "test": sorted((ROOT / "tests").rglob("*.py")),
    "chaos": [
        ROOT / "tests/containers.py",
        *(p for p in (ROOT / "tests/chaos").rglob("*.py") if not p.name.startswith("test_")),
    ],
    "bench": sorted((ROOT / "benchmarks").rglob("*.py")),
}


def names(file):
    return {pin.name for pin in FILES[file]}


def imported(files):
    """Modules of others that the files import, wherever in them."""
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            found = []
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                found = [node.module]
            for module in (name.split(".")[0] for name in found):
                if module not in sys.stdlib_module_names | {"tests", *checks.ROOMS, "benchmarks"}:
                    yield module


@pytest.mark.parametrize("file", FILES)
def test_field_22_requirements_are_pinned_with_hashes(file):
    assert [pin for pin in FILES[file] if not (pin.version and pin.hashes)] == []


@pytest.mark.parametrize("file", [file for file in FILES if file != "dev"])
def test_field_22_what_is_installed_together_fits_together(file):
    versions = {(pin.name, pin.version) for pin in FILES["dev"]}
    assert {(pin.name, pin.version) for pin in FILES[file]} <= versions


@pytest.mark.parametrize("target", IMPORTING)
def test_field_22_a_target_installs_what_it_imports(target):
    """A package that is missing would be a test that is skipped, or a benchmark that breaks off."""
    brought = packages_distributions()
    pinned = names("demo") | names(target)
    missing = {
        module
        for module in imported(IMPORTING[target])
        if not {name.lower().replace("_", "-") for name in brought.get(module, [module])} & pinned
    }
    assert missing == set()


def test_field_22_the_demonstration_waits_for_nothing_but_its_own():
    wanted = {
        re.split(r"[<>=\[ ;]", one)[0].lower().replace("_", "-")
        for group in ("test", "chaos", "bench", "lint", "docs")
        for one in GROUPS[group]
    }
    assert wanted & names("demo") == set()


def test_field_22_the_common_resolution_has_every_group():
    included = {one["include-group"] for one in GROUPS["dev"]}
    assert included == GROUPS.keys() - {"dev", "media"}


def test_field_22_every_target_asks_for_its_group():
    """And for no more than that."""
    makefile = documents.read("Makefile")
    wants = dict(re.findall(r"^([a-z-]+): \$\((\w*READY)\) ##", makefile, re.MULTILINE))
    assert wants == {
        "install": "READY",
        "demo": "READY",
        "compose-check": "READY",
        "requirements": "READY",
        "env-example": "READY",
        "openapi": "READY",
        "asyncapi": "TEST_READY",
        "test-unit": "TEST_READY",  # and these two are what `test` runs
        "test-servers": "TEST_READY",
        "test-containers": "TEST_READY",
        "chaos": "CHAOS_READY",
        "bench": "BENCH_READY",
        "bench-check": "BENCH_READY",
        "lint": "LINT_READY",
        "format": "LINT_READY",
        "docs": "DOCS_READY",
    }
    recipes = makefile.partition("\n$(READY):")[2]
    installs = re.findall(r"\$\(PIP\) install (.*)", recipes)
    assert len(installs) == 4
    assert all("--require-hashes" in one or "--no-index" in one for one in installs)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_field_22_targets_that_begin_at_once_install_one_after_the_other(tmp_path):
    """As CI does with two parts of the tests; two pips at once break an environment."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements-demo.txt", "requirements-media.txt", "requirements-test.txt"):
        (tmp_path / name).touch()
    (tmp_path / "pyproject.toml").touch()
    log = tmp_path / "log"
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "begin" >>{log}; sleep 0.1; echo "end" >>{log}\n')
    python.chmod(0o755)
    command = ["make", "PYTHON=python3", ".venv/.ready-test"]
    runs = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [run.wait(30) for run in runs] == [0, 0, 0]
    assert log.read_text().split() == ["begin", "end"] * 4
