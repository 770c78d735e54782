"""``fecapass doctor`` finds what is wrong, and tells no secrets."""

import json
import os
import subprocess
import sys

import pytest


def doctor(environment, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "infra.cli.main", "doctor", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_fit_installation_passes_without_a_secret(prepared, environment):
    ended = doctor(environment, "--json")
    assert ended.returncode == 0, ended.stderr
    found = {one["part"]: one for one in json.loads(ended.stdout)}
    # Workers need not run yet; the report says whether they do.
    assert found.pop("pipeline")["status"] in {"ok", "degraded"}
    assert {one["status"] for one in found.values()} == {"ok"}
    assert found.keys() >= {"main database", "vector database", "Redis", "S3", "Kafka", "models"}
    assert "sface-2021dec on cpu" in found["models"]["detail"]
    assert " in float32" in found["models"]["detail"]
    for name, value in environment.items():
        if any(word in name for word in ("PASSWORD", "SECRET", "ACCESS_KEY")):
            assert value not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"FECAPASS_MAIN_DB__PORT": "1"}, "main database"),
        ({"FECAPASS_REDIS__PORT": "1"}, "Redis"),
        ({"FECAPASS_KAFKA__TOPIC_PREFIX": "absent."}, "Kafka"),
        ({"FECAPASS_MODELS__EXECUTION_PROVIDER": "cuda"}, "models"),
    ],
)
def test_each_fault_is_named(prepared, environment, change, part):
    ended = doctor(environment | change)
    assert ended.returncode == 1
    assert f"checks failed: {part}" in ended.stderr
