"""Results, ratios and how they are written."""

import json
from io import StringIO
from pathlib import Path

from rich.console import Console

from benchmarks.report import Result, compare, make_report, show

ONE, FOUR = {"size": "640x480", "faces": 1}, {"size": "640x480", "faces": 4}
RESULTS = [
    Result("models", "bare models", ONE, {"frames_per_second": 50.0}),
    Result("pipeline", "pipeline", ONE, {"frames_per_second": 45.0}, {"cpu_ms kafka": 1.5}),
    Result("pipeline", "pipeline", FOUR, {"frames_per_second": 20.0}),
]


def test_subjects_are_compared_where_both_were_measured():
    (ratio,) = compare(RESULTS, "pipeline", "bare models")

    assert ratio.case == ONE
    assert ratio.ratio == 0.9


def test_the_table_shows_every_result_and_ratio():
    output = StringIO()
    report = make_report(RESULTS, compare(RESULTS, "pipeline", "bare models"), {"threads": 2})

    show(report, Console(file=output, width=160))

    lines = [line.split() for line in output.getvalue().splitlines()]
    assert ["640x480", "4", "pipeline", "20.0"] in lines
    assert ["640x480", "1", "0.90"] in lines


def test_json_holds_everything(tmp_path: Path):
    path = tmp_path / "new" / "report.json"

    make_report(RESULTS, compare(RESULTS, "pipeline", "bare models"), {"threads": 2}).write_json(
        path
    )

    written = json.loads(path.read_text())
    assert written["results"][1]["details"] == {"cpu_ms kafka": 1.5}
    assert written["ratios"][0]["ratio"] == 0.9
    assert written["machine"]["cores"] >= 1
    assert written["machine"]["packages"]["onnxruntime"]
    assert written["measured_at"]
