"""If containers cannot be started, commands and tests that need them say why."""

import shutil
import subprocess

import pytest

from tests.compose.deployment import unavailable

NOWHERE = "localhost:1/nobody/nothing:0"


def test_without_docker(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert unavailable() == "docker is not installed"


@pytest.fixture
def docker():
    program = shutil.which("docker")
    if program is None:
        pytest.skip("docker is not installed")
    return program


def test_without_an_engine(docker, monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    assert unavailable().startswith("no Docker engine answers: ")


def test_without_an_image(docker):
    if subprocess.run([docker, "info"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no Docker engine answers")
    assert unavailable() is None
    assert unavailable([NOWHERE]).startswith(f"{NOWHERE} is not here and cannot be pulled: ")
