"""What a worker tells about itself, and when it refuses to start."""

import os
import re
import subprocess
import sys

import aiohttp
import pytest

from ml.runtime.model_placement import Machine, place
from ml.runtime.model_registry import SFACE
from tests.end_to_end.conftest import running_workers

pytestmark = pytest.mark.waits

EXPECTED = {
    "detect": [
        "fecapass_events_consumed_total",
        "fecapass_faces_detected_total",
        "fecapass_stage_duration_seconds",
        "fecapass_batch_fill_messages",
        "fecapass_model_info",
        "fecapass_consumer_lag_messages",
        "fecapass_in_flight_messages",
    ],
    "identify": [
        "fecapass_events_consumed_total",
        "fecapass_end_to_end_latency_seconds",
        "fecapass_matches_total",
        "fecapass_gallery_templates",
        "fecapass_gallery_age_seconds",
        "fecapass_events_dropped_total",
        "fecapass_retries_total",
        "fecapass_dead_letters_total",
    ],
    "follow": [
        "fecapass_events_consumed_total",
        "fecapass_gallery_templates",
        "fecapass_visits_open",
        "fecapass_visits_started_total",
        "fecapass_visits_ended_total",
        "fecapass_visit_identity_changes_total",
        "fecapass_visit_faces_late_total",
        "fecapass_visit_start_seconds",
        "fecapass_dead_letters_total",
    ],
}


async def fetch(worker, path):
    async with (
        aiohttp.ClientSession() as session,
        session.get(worker.address + path) as response,
    ):
        return response.status, await response.text()


async def test_each_worker_serves_its_metrics_and_health(workers, client, tmp_path):
    for worker in workers:
        status, text = await fetch(worker, "/metrics")
        assert status == 200
        names = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
        # The text format names a counter without its _total in some versions.
        missing = [
            name
            for name in EXPECTED[worker.kind]
            if name not in names and name.removesuffix("_total") not in names
        ]
        assert missing == []
        assert all(name.startswith(("fecapass_", "python_", "process_")) for name in names)
        status, body = await fetch(worker, "/health")
        assert (status, '"status": "ok"' in body) == (200, True), body


async def test_the_model_and_the_provider_in_use_are_reported(workers):
    _, text = await fetch(workers[0], "/metrics")
    best, *_ = place(SFACE.id, "auto", "auto", Machine.this())
    provider = "+".join(dict.fromkeys(("cpu", best.provider)))
    precision = "+".join(dict.fromkeys(("float32", best.precision)))
    assert (
        'fecapass_model_info{detector="yunet-2023mar",embedder="sface-2021dec",'
        f'execution_provider="{provider}",precision="{precision}"}} 1.0' in text
    )


def run_worker(kind, environment):
    return subprocess.run(
        [sys.executable, "-m", "infra.cli.main", "worker", kind],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_worker_that_gets_no_gpu_refuses_to_start_and_says_why(prepared, environment, provider):
    ended = run_worker("detect", environment | {"FECAPASS_MODELS__EXECUTION_PROVIDER": provider})
    assert ended.returncode == 1
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("fecapass: ")]
    assert provider in line.lower()
    assert "FECAPASS_MODELS__EXECUTION_PROVIDER" in line


def test_a_worker_without_its_servers_says_which_is_missing(prepared, environment):
    ended = run_worker("identify", environment | {"FECAPASS_MAIN_DB__PORT": "1"})
    assert ended.returncode == 1
    assert "main database postgresql://fecapass@127.0.0.1:1/" in ended.stderr
    assert prepared.main_db.password.get_secret_value() not in ended.stderr


def test_a_worker_without_required_settings_names_the_variable(environment):
    incomplete = {
        name: value for name, value in environment.items() if "SECRET_ACCESS_KEY" not in name
    }
    ended = run_worker("identify", incomplete | {"FECAPASS_ENV_FILE": "/dev/null"})
    assert ended.returncode == 1
    assert "FECAPASS_S3__SECRET_ACCESS_KEY is not set" in ended.stderr


async def test_a_second_worker_on_one_port_says_so(workers, environment):
    port = workers[0].address.rpartition(":")[2]
    ended = run_worker("detect", environment | {"FECAPASS_WORKERS__HEALTH_PORT": port})
    assert ended.returncode == 1
    assert f"port {port}" in ended.stderr
    assert "FECAPASS_WORKERS__HEALTH_PORT" in ended.stderr


async def test_a_third_worker_joins_and_is_healthy(workers, environment, tmp_path):
    async with running_workers(["identify"], environment, tmp_path) as (third,):
        status, _ = await fetch(third, "/health")
    assert status == 200
    assert third.returncode == 0
