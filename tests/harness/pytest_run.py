"""A run of pytest that a test interrupts."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def pytest_run(script, *options, started_by=()):
    """Start pytest on a script, with the suite's configuration and fixtures."""
    command = [*started_by, sys.executable, "-m", "pytest", "-q", *options, "-p", "tests.conftest"]
    return subprocess.Popen(
        [*command, "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
