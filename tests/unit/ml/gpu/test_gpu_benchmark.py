"""``python -m benchmarks gpu``: a row for everything, measured or with the reason why not."""

import argparse
import asyncio
import json
import time

import numpy as np
import pytest

from benchmarks.gpu import gpu as benchmark
from benchmarks.gpu.gpu import MEASURED, NOT_RUN, WITH_WARNING, Table
from benchmarks.gpu.gpu_ways import WAYS, describe_gpu
from benchmarks.load.frames import Case
from ml.recognition import gpu_plans


@pytest.fixture
def measure(model_cache, monkeypatch):
    """Measures as the command line does, each row once."""
    monkeypatch.setenv("FECAPASS_MODELS__CACHE_DIR", str(model_cache))
    # The greatest batches take seconds on a CPU.
    monkeypatch.setattr(gpu_plans, "MAX_PICTURES", 1)
    monkeypatch.setattr(gpu_plans, "MAX_FACES", 2)
    monkeypatch.setattr(benchmark, "_CASE", Case(640, 480, 1))
    monkeypatch.setattr(benchmark, "_FRAMES", 1)

    def run(*options):
        parser = argparse.ArgumentParser()
        benchmark.add_arguments(parser)
        few = "--seconds=0.001", "--pictures-at-once=1,2", "--faces-at-once=2", "--streams=1"
        return asyncio.run(benchmark.run(parser.parse_args([*few, *options])))

    return run


def by_way(report):
    rows = {}
    for row in report.results:
        rows.setdefault(row.case["way"], []).append(row)
    return rows


def test_without_a_gpu_every_row_of_one_says_why_it_was_not_run(measure, tmp_path, capsys):
    report = measure()
    rows = by_way(report)
    assert rows.keys() == WAYS.keys()
    for name, found in rows.items():
        for row in found:
            if WAYS[name].on_gpu:
                assert row.subject.startswith(NOT_RUN)
                reason = report.settings[row.subject.removeprefix(NOT_RUN).strip()]
                assert "this onnxruntime offers" in reason
            else:
                assert row.subject == MEASURED
    printed = capsys.readouterr().out
    for name, text in report.settings.items():
        if name.startswith("note"):
            assert f"{name}: {text}" in printed
    report.write_json(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["settings"]["gpu"].startswith("none")


def test_with_a_gpu_every_row_is_measured(gpu, measure, monkeypatch):
    few = "cpu", "cpu, bound buffers", "cuda", "tensorrt, float16"
    monkeypatch.setattr(benchmark, "WAYS", {name: WAYS[name] for name in few})
    monkeypatch.setattr(benchmark, "FRAME_WAYS", few[::3])
    report = measure()
    assert {row.subject for row in report.results} <= {MEASURED, f"{WITH_WARNING} note 1"}
    rows = by_way(report)
    assert rows.keys() == set(few)
    for name in few:
        way = WAYS[name]
        models = [row for row in rows[name] if row.case["what"] in ("detector", "embedder")]
        assert len(models) == (5 if way.on_gpu else 4)
        started = [row.values for row in models if row.case["batch"] == "start"]
        assert all(("restart_s" in values) == way.on_gpu for values in started)
        # A CPU is behind all of them, so results are the reference's.
        assert started[0]["difference"] == pytest.approx(0, abs=1e-4)
        assert started[1]["cosine_least"] == pytest.approx(1, abs=1e-5)
        for row in models:
            if row.case["batch"] != "start":
                assert row.values["per_second"] == pytest.approx(1000 / row.values["ms"])
    for name in few[::3]:
        frames = [row for row in rows[name] if row.case["what"].startswith("frames")]
        assert len(frames) == 2
        assert all(row.values["per_second"] > 0 for row in frames)


def test_an_option_that_does_not_work_is_a_note_on_the_row(gpu, measure, monkeypatch):
    few = {name: WAYS[name] for name in ("cpu", "cuda", "cuda, exhaustive search")}
    monkeypatch.setattr(benchmark, "WAYS", few)
    monkeypatch.setattr(benchmark, "FRAME_WAYS", ())
    gpu.broken = {"cudnn_conv_algo_search": "HEURISTIC"}
    report = measure()
    rows = by_way(report)
    (start, *_) = (row for row in rows["cuda"] if row.case["batch"] == "start")
    assert start.subject.startswith(WITH_WARNING)
    assert "is broken" in report.settings[start.subject.removeprefix(WITH_WARNING).strip()]
    assert all(row.values for row in rows["cuda, exhaustive search"])


def test_no_row_begins_when_the_time_is_over():
    table = Table(minutes=1e-9)
    time.sleep(0.001)
    assert not table.add({"way": "x"}, dict)
    assert list(table.notes) == ["the 1e-09 minutes are over"]


def test_a_row_that_fails_does_not_end_the_others():
    table = Table(minutes=1)
    assert not table.add({"way": "x"}, lambda: 1 / 0)
    assert table.add({"way": "y"}, lambda: {"ms": 1.0})
    assert [bool(row.values) for row in table.rows] == [False, True]


def test_a_gpu_has_a_name_or_a_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert describe_gpu() == "none: nvidia-smi is not installed"
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA X, 580.1, 1 MiB'\n")
    program.chmod(0o755)
    assert describe_gpu() == "NVIDIA X, 580.1, 1 MiB"
    program.write_text("#!/bin/sh\nexit 9\n")
    assert describe_gpu().startswith("none: nvidia-smi failed")


def test_labelled_pictures_say_who_is_recognised(shared):
    inputs = benchmark.Inputs(shared / "data/faces/lfw_dev/Juanes")
    assert inputs.people is not None
    assert len(inputs.people) == len(inputs.faces) == 3
    assert inputs.batch("embedder", 5).shape == (5, 3, 112, 112)
    assert inputs.batch("detector", 20).shape == (20, 3, 480, 640)
    np.testing.assert_array_equal(*inputs.batch("embedder", 4)[[0, 3]])
