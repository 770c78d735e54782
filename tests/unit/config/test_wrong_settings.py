"""Wrong settings are named, in one line, and a part that breaks down hides no other."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import ConfigurationError, Settings, load_settings
from domain.images.image_errors import ModelError
from infra.cameras.sources import SourceError, open_source
from infra.operations.diagnosis import _look, healthy
from ml.runtime.model_registry import SFACE, check_file, prepare_builtin

ROOT = Path(__file__).parents[3]

#: Nothing listens there.
NOWHERE = {
    "MAIN_DB__PASSWORD": "x",
    "VECTOR_DB__PASSWORD": "x",
    "S3__ACCESS_KEY_ID": "x",
    "S3__SECRET_ACCESS_KEY": "x",
    "S3__ENDPOINT_URL": "http://127.0.0.1:1",
    "MAIN_DB__PORT": "1",
    "VECTOR_DB__PORT": "1",
    "REDIS__PORT": "1",
    "KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
}

WRONG = [
    ("KAFKA__BOOTSTRAP_SERVERS", "broker:port"),
    ("KAFKA__BOOTSTRAP_SERVERS", "broker:99999"),
    ("KAFKA__BOOTSTRAP_SERVERS", "a b:9092"),
    ("KAFKA__BOOTSTRAP_SERVERS", "PLAINTEXT://broker:9092"),
    ("KAFKA__BOOTSTRAP_SERVERS", "user@broker:9092"),
    ("KAFKA__BOOTSTRAP_SERVERS", " , "),
    ("S3__BUCKET", "not a bucket!"),
    ("S3__BUCKET", "a/b"),
    ("S3__REGION", "eu west"),
    ("S3__REGION", "-eu"),
    ("S3__CLAIM_CHECK_BUCKETS", '["fine", "not fine"]'),
]


@pytest.fixture
def variables(monkeypatch):
    for name in os.environ:
        if name.startswith("FECAPASS_"):
            monkeypatch.delenv(name)
    for name, value in NOWHERE.items():
        monkeypatch.setenv(f"FECAPASS_{name}", value)
    monkeypatch.setenv("FECAPASS_ENV_FILE", os.devnull)
    return monkeypatch


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_field_21_a_wrong_setting_is_named_and_its_value_not_shown(variables, name, value):
    variables.setenv(f"FECAPASS_{name}", value)
    with pytest.raises(ConfigurationError, match=f"FECAPASS_{name}") as refusal:
        load_settings(Settings)
    assert value not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("KAFKA__BOOTSTRAP_SERVERS", "a:1, [::1]:9092,", "a:1,[::1]:9092"),
        ("KAFKA__BOOTSTRAP_SERVERS", "broker", "broker"),
        ("S3__BUCKET", "my.bucket-1", "my.bucket-1"),
        ("S3__REGION", "auto", "auto"),
    ],
)
def test_field_21_what_the_servers_clients_take_is_taken(variables, name, value, read):
    variables.setenv(f"FECAPASS_{name}", value)
    group, _, field = name.lower().partition("__")
    assert getattr(getattr(load_settings(Settings), group), field) == read


def doctor(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "infra.cli.main", "doctor", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        **options,
    )


def test_field_21_doctor_lists_a_wrong_setting(variables):
    variables.setenv("FECAPASS_REDIS__PORT", "many")
    ended = doctor("--json")
    assert ended.returncode == 1
    (found,) = json.loads(ended.stdout)
    assert (found["part"], found["status"]) == ("settings", "failed")
    assert "FECAPASS_REDIS__PORT" in found["detail"]
    assert ended.stderr.startswith("fecapass: FECAPASS_REDIS__PORT: ")
    assert len(ended.stderr.splitlines()) == 1


async def test_field_21_a_part_that_breaks_down_is_a_finding():
    async def breaks():
        raise ValueError("no such thing")

    found = await _look("S3", breaks, str)
    assert found.status == "failed"
    assert found.detail.startswith("unexpected ValueError;")
    assert not healthy([found])


def test_field_21_a_home_that_is_not_there_is_said(variables):
    for attempt in (
        lambda: prepare_builtin(SFACE, Path("~no-such-user/cache")),
        lambda: check_file(Path("~no-such-user/model.onnx"), None, "detector"),
    ):
        with pytest.raises(ModelError, match=r"no such home directory .* FECAPASS_MODELS__"):
            attempt()
    with pytest.raises(SourceError, match="no such home directory"):
        open_source("~no-such-user/video.mp4", "door")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be a user that there is not")
def test_field_21_an_unknown_user_without_a_home_gets_no_traceback(variables):
    nobody = {"user": 54321, "group": 54321, "extra_groups": []}
    # Everything that the tests can import, with a Python that this user can run.
    for python in (sys.executable, "/usr/bin/python3.11", "/usr/local/bin/python3.11"):
        try:
            subprocess.run([python, "-c", ""], check=True, capture_output=True, **nobody)
        except OSError:
            continue
        break
    else:
        pytest.skip("no Python 3.11 that another user can run")
    path = os.pathsep.join(filter(None, [str(ROOT), *sys.path]))
    ours = {name: value for name, value in os.environ.items() if name.startswith("FECAPASS_")}
    environment = ours | {"PATH": os.defpath, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(
        [python, "-m", "infra.cli.main", "doctor", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd="/",
        env=environment,
        **nobody,
    )
    assert "Traceback" not in ended.stderr
    found = {one["part"]: one["detail"] for one in json.loads(ended.stdout)}
    assert "user id 54321" in found["models"]
    assert "FECAPASS_MODELS__CACHE_DIR" in found["models"]
