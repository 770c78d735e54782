"""Benchmarks and chaos refuse what they cannot measure, before anything is started."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from tests.chaos.__main__ import main as chaos

ROOT = Path(__file__).parents[3]

WRONG = [
    *(f"latency --seconds {text}" for text in ("0", "-1", "nan", "inf", "1e999", "soon")),
    "pipeline --seconds 0",
    "pipeline --cameras 0",
    "pipeline --gallery -1",
    "pipeline --threads -1",
    "models --seconds -0",
    "models --case 640x480:-1",
    "models --case 0x480:1",
    "latency --cameras 0",
    "latency --frames 0",
    "latency --faces -1",
    "scale --frames -5",
    "scale --cameras 1,0",
    "scale --cameras ,",
    "scale --partitions 1,,2",
    "memory --minutes 0",
    "memory --rate nan",
    "video --scene video:640",
    "video --scene street:640x480",
    "video --rounds 0",
    "video --baseline /",
    "search --galleries 0",
    "search --dimensions 128,-1",
    "search --probes 0",
    "search --pgvector-most -1",
    "search --seconds 0",
    "sinks --batch 0",
    "sinks --rounds 0",
]


@pytest.mark.parametrize("line", WRONG)
def test_field_21_benchmarks_refuse_what_they_cannot_measure(line, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", *line.split()])
    with pytest.raises(SystemExit) as refusal:
        benchmarks.main()
    assert refusal.value.code == 2
    assert f"argument {line.split()[1]}: " in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--seconds", "--rate", "--runs", "--workers"])
@pytest.mark.parametrize("value", ["0", "-3", "nan"])
def test_field_21_chaos_refuses_what_it_cannot_run(option, value, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["chaos", option, value])
    with pytest.raises(SystemExit) as refusal:
        chaos()
    assert refusal.value.code == 2
    assert f"argument {option}: " in capsys.readouterr().err


def test_field_21_a_refusal_is_no_traceback():
    command = [sys.executable, "-m", "benchmarks", "latency", "--seconds", "0"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].endswith("argument --seconds: '0' is not above 0")
