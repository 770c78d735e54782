"""The command line as a user meets it: one clear line, no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REQUIRED = {
    "FECAPASS_S3__ACCESS_KEY_ID": "a",
    "FECAPASS_S3__SECRET_ACCESS_KEY": "a",
    "FECAPASS_MAIN_DB__PASSWORD": "a",
    "FECAPASS_VECTOR_DB__PASSWORD": "a",
    "FECAPASS_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
}


@pytest.fixture
def fecapass(tmp_path: Path):
    own = {name: value for name, value in os.environ.items() if not name.startswith("FECAPASS_")}

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "infra.cli.main", *arguments],
            cwd=tmp_path,
            env=own | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_missing_settings_are_reported_with_what_to_do(fecapass):
    ended = fecapass("recent")
    assert ended.returncode == 1
    assert "FECAPASS_MAIN_DB__PASSWORD is not set" in ended.stderr
    assert "`fecapass up`" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_faust_does_not_take_the_options_of_a_command(fecapass, tmp_path):
    (tmp_path / "picture.jpg").write_bytes(b"not one")
    ended = fecapass(
        "publish", "picture.jpg", "--camera", "a", "--loop", "--limit", "2", **REQUIRED
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("fecapass: no Kafka broker answers")


def test_who_is_enrolled_has_an_address(fecapass, tmp_path):
    (tmp_path / "picture.jpg").write_bytes(b"not one")
    ended = fecapass("enrol", "--user", "ada", "picture.jpg", **REQUIRED)
    assert ended.returncode == 2
    assert "ada is no e-mail address" in ended.stderr


@pytest.mark.parametrize("command", [("enrol", "--from-dir"), ("demo", "--photos")])
def test_field_07_names_that_would_be_one_user_are_reported_before_anything_is_done(
    fecapass, tmp_path, command
):
    for name in ("Anna Lee", "Anna-Lee"):
        (tmp_path / "people" / name).mkdir(parents=True)
        (tmp_path / "people" / name / "1.jpg").write_bytes(b"x")
    ended = fecapass(*command, "people", PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("fecapass: the same user by their names: 'Anna Lee' and")
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / ".fecapass").exists()


def test_field_21_a_file_name_that_is_no_utf8_is_reported_in_one_line(fecapass, tmp_path):
    (tmp_path / "people").mkdir()
    name = os.fsencode(tmp_path) + b"/people/Jos\xe9.jpg"
    Path(os.fsdecode(name)).write_bytes(b"x")
    for encoding in ("utf-8", "latin-1", "ascii"):
        ended = fecapass("enrol", "--from-dir", "people", PYTHONIOENCODING=encoding)
        assert ended.returncode == 1
        assert "U+DCE9" in ended.stderr
        assert ended.stderr.count("\n") == 1
