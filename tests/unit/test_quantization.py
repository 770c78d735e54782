"""``fecapass models quantize``: an int8 form of a user's own file, and what it costs."""

import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from config.settings import ModelSettings
from infra.cli.main import app
from infra.demo.sample_media import ASTRONAUT
from ml.recognition.face_analyser import build_analyser


@pytest.fixture
def quantize(monkeypatch, tmp_path):
    monkeypatch.setenv("FECAPASS_KAFKA__BOOTSTRAP_SERVERS", "localhost:9")

    def run(file, pictures):
        output = tmp_path / "small.onnx"
        arguments = ["models", "quantize", file, "--calibrate", pictures, "--output", output]
        return CliRunner().invoke(app, [*map(str, arguments), "--json"])

    return run


def test_an_own_file_gets_an_int8_form_that_the_embedder_takes(quantize, shared, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    picture = cv2.imread(str(ASTRONAUT.locate()))[0:260, 80:380]
    cv2.imwrite(str(pictures / "a_1.png"), picture)
    (pictures / "notes.txt").write_text("no picture")
    file = shared / "models/mobilefacenet.onnx"
    done = quantize(file, pictures)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["pictures"], report["faces"]) == (1, 1)
    assert 0.98 < report["cosine_least"] <= report["cosine_mean"] < 1
    assert report["tar_int8"] is None  # there is no pair
    made = tmp_path / "small.onnx"
    assert report["file"] == str(made)
    assert made.stat().st_size < file.stat().st_size / 2
    settings = ModelSettings(
        embedder="arcface", embedder_file=made, embedder_sha256=report["sha256"], threads=1
    )
    embedder = build_analyser(settings).embedder
    assert embedder.id == report["model"]
    assert embedder.embed([np.zeros((112, 112, 3), np.uint8)]).shape == (1, 128)


def test_what_cannot_be_quantised_is_an_error(quantize, shared, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    done = quantize(shared / "models/mobilefacenet.onnx", pictures)
    assert done.exit_code == 1
    assert "no face in the 0 pictures" in str(done.exception)
    assert "no such" in str(quantize(tmp_path / "none.onnx", pictures).exception).lower()
