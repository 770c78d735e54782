"""``fecapass evaluate liveness``: from folders of pictures to error rates and a threshold."""

import hashlib
import json
import shutil

import pytest
from PIL import Image
from typer.testing import CliRunner

from infra.cli.main import app
from infra.terminal.command_errors import CommandFailed

MODEL = "antispoof_print_replay_1.5_128.onnx"


@pytest.fixture(scope="module")
def model(shared, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / MODEL
    shutil.copy(shared / "models" / MODEL, path)
    manifest = {
        "licence": "for tests only",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "crop": 1.5,
        "size": 128,
        "classes": ["live", "print", "replay"],
        "threshold": 0.5,
    }
    path.with_name(f"{MODEL}.json").write_text(json.dumps(manifest))
    return path


@pytest.fixture
def run(monkeypatch, tmp_path):
    def call(*arguments, model=None):
        monkeypatch.chdir(tmp_path)
        if model is not None:
            monkeypatch.setenv("FECAPASS_LIVENESS__MODEL_FILE", str(model))
        return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])

    return call


@pytest.fixture
def folder(shared, tmp_path):
    for name in ("live", "print", "replay"):
        for number in range(10):
            place = tmp_path / "pictures" / name / f"{number}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(shared / "data" / "liveness" / f"{name}.jpg", place)
    (tmp_path / "pictures" / "print" / "broken.jpg").write_bytes(b"no picture")
    return tmp_path / "pictures"


def test_pictures_are_judged_by_folder(run, folder, model):
    ended = run("liveness", folder, "--apcer", "0.3", "--json", model=model)
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.stdout)
    assert found["model"] == "minifasnet-7ef69faf"
    rates = {(one["rate"], one["presentations"]): one for one in found["errors"]}
    assert {name: one["value"] for name, one in rates.items() if name[0] != "APNRR"} == {
        ("APCER", "print"): 0.0,
        ("APCER", "replay"): 0.0,
        ("BPCER", "live"): 0.0,
        ("BPNRR", "live"): 0.0,
    }
    assert rates["APNRR", "print"]["errors"] == 1
    assert rates["APCER", "print"]["high"] == pytest.approx(0.2775, abs=1e-3)
    assert found["needed"] == 9
    assert 0.0 < found["recommended_threshold"] < 0.1


def test_pictures_of_one_folder_are_of_one_sheet_or_clip(run, folder, model):
    for number in range(10):
        place = folder / "print" / f"sheet-{number % 3}" / f"{number}.jpg"
        place.parent.mkdir(exist_ok=True)
        (folder / "print" / f"{number}.jpg").rename(place)
    ended = run("liveness", folder, "--apcer", "0.3", "--json", model=model)
    found = json.loads(ended.stdout)
    rates = {(one["rate"], one["presentations"]): one for one in found["errors"]}
    assert rates["APCER", "print"]["subjects"] == 3
    assert rates["APNRR", "print"]["subjects"] == 4, "the broken one is in no folder"
    assert rates["APCER", "print"]["high"] > rates["APCER", "replay"]["high"]
    assert found["intervals"] == {"live": "pictures", "print": "folders", "replay": "pictures"}
    assert found["recommended_threshold"] is None, "three sheets are too few"


def test_the_report_is_one_page_with_its_chart(run, folder, model, tmp_path):
    output = tmp_path / "report"
    ended = run("liveness", folder, "--apcer", "0.3", "--output", output, model=model)
    assert ended.exit_code == 0, ended.output
    assert "over single pictures in live, print, replay" in ended.stdout
    page = (output / "report.html").read_text()
    for text in ("APCER", "BPNRR", "minifasnet-7ef69faf", "FECAPASS_LIVENESS__THRESHOLD=0."):
        assert text in page
    assert "http" not in page
    assert json.loads((output / "liveness.json").read_text())["model"] == "minifasnet-7ef69faf"
    with Image.open(output / "errors.png") as chart:
        assert chart.size[0] > 600


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_judged(
    run, folder, model, tmp_path
):
    (tmp_path / "file").write_text("")
    ended = run("liveness", folder, "--output", tmp_path / "file" / "report", model=model)
    assert "cannot make the folder" in str(ended.exception)


def test_too_few_attacks_give_no_threshold(run, folder, model):
    ended = run("liveness", folder, model=model)
    assert ended.exit_code == 0, ended.output
    assert "too little data for a threshold with an APCER of 0.05: it needs 59" in ended.stdout
    assert "FECAPASS_LIVENESS__THRESHOLD" not in ended.stdout
    ended = run("liveness", folder, "--apcer", "0.3", model=model)
    assert "FECAPASS_LIVENESS__THRESHOLD=0." in ended.stdout


@pytest.mark.parametrize(("missing", "message"), [("live", '"live" has no'), ("", "no attack")])
def test_without_people_or_attacks_there_is_nothing_to_measure(
    run, folder, model, missing, message
):
    for name in [missing] if missing else ["print", "replay"]:
        shutil.rmtree(folder / name)
    ended = run("liveness", folder, model=model)
    assert isinstance(ended.exception, CommandFailed)
    assert message in str(ended.exception)


def test_without_a_model_it_says_so(run, tmp_path):
    ended = run("liveness", tmp_path)
    assert "FECAPASS_LIVENESS__MODEL_FILE is not set" in str(ended.exception)
    ended = run("liveness", tmp_path, model=tmp_path / "none.onnx")
    assert isinstance(ended.exception, CommandFailed)


def test_a_folder_alone_is_one_of_people(run, tmp_path):
    ended = run(tmp_path / "absent")
    assert "there is no folder" in str(ended.exception)
    assert "liveness" in run("--help").stdout
    assert "--unknowns" in run("recognition", "--help").stdout
