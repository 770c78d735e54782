"""``fecapass models quantize``: an int8 form of a user's own file, and what it costs."""

import json
import sys

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from config.settings import ModelSettings
from infra.cli.main import app
from infra.demo.sample_media import ASTRONAUT
from infra.models.calibration import largest_face
from infra.terminal.command_errors import CommandFailed
from ml.detection.detections import Detections
from ml.recognition.face_analyser import build_analyser
from ml.runtime.model_placement import EXACT_INT8, processor_flags


@pytest.fixture
def quantize(monkeypatch, tmp_path):
    monkeypatch.setenv("FECAPASS_KAFKA__BOOTSTRAP_SERVERS", "localhost:9")

    def run(file, pictures, output=tmp_path / "small.onnx"):
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
    exact = not EXACT_INT8.isdisjoint(processor_flags())
    assert (report["warning"] is None) == exact
    least = 0.98 if exact else 0.9  # sums that saturate
    assert least < report["cosine_least"] <= report["cosine_mean"] < 1
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


def test_the_file_itself_is_not_replaced(quantize, shared, tmp_path):
    file = tmp_path / "own.onnx"
    file.write_bytes((shared / "models/mobilefacenet.onnx").read_bytes())
    link = tmp_path / "link.onnx"
    link.symlink_to(file)
    before = file.read_bytes()
    for output in (file, link):
        assert "name another output" in str(quantize(file, tmp_path, output).exception)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "file", ["models/scrfd_500m_bnkps.onnx", "data/groups/LICENSE", "README.md"]
)
def test_a_file_that_is_no_embedder_is_an_error_and_leaves_no_output(
    file, quantize, shared, tmp_path
):
    done = quantize(shared / file, tmp_path)
    assert isinstance(done.exception, CommandFailed)
    assert list(tmp_path.iterdir()) == []


def test_the_largest_face_is_used_whatever_its_score():
    class Two:
        def detect(self, _images):
            boxes = np.array([[0, 0, 20, 20], [40, 40, 60, 60]], np.float32)
            places = np.array([[5, 5], [15, 5], [10, 10], [6, 15], [14, 15]], np.float32)
            landmarks = np.stack([places, 40 + 3 * places])
            return [Detections(boxes, landmarks, np.array([0.9, 0.8], np.float32))]

    picture = np.zeros((120, 120, 3), np.uint8)
    picture[40:100, 40:100] = 200
    assert largest_face(Two(), picture).mean() > 50


def test_settings_of_the_pipelines_models_do_not_matter(quantize, shared, tmp_path, monkeypatch):
    monkeypatch.setenv("FECAPASS_MODELS__EMBEDDER_PROVIDER", "cuda")
    monkeypatch.setenv("FECAPASS_MODELS__EMBEDDER_PRECISION", "bfloat16")
    monkeypatch.setenv("FECAPASS_MODELS__DETECTOR_PROVIDER", "cuda")
    assert "no face" in str(quantize(shared / "models/mobilefacenet.onnx", tmp_path).exception)


def test_where_openvino_does_not_start_the_cost_is_measured_in_onnxruntime(
    quantize, shared, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "openvino", None)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "a.png"), cv2.imread(str(ASTRONAUT.locate()))[0:260, 80:380])
    done = quantize(shared / "models/mobilefacenet.onnx", pictures)
    assert done.exit_code == 0, done.output
