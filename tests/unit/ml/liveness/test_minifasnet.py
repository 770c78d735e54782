import hashlib
import json
import os
import shutil

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.images.image_errors import ModelError
from ml.liveness.face_squares import face_square
from ml.liveness.liveness_check import FaceToCheck, LivenessCheck
from ml.liveness.minifasnet import load_minifasnet

SIZE = 32


def network(path, *, classes=3, size=SIZE):
    """A model whose outputs are the mean of red, of green and of blue, times ten; and its hash."""
    helper = onnx.helper
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
        helper.make_node("MatMul", ["means", "weights"], ["output"]),
    ]
    weights = np.zeros((3, classes), np.float32)
    weights[: min(3, classes), : min(3, classes)] = np.eye(3, dtype=np.float32)[:classes, :classes]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("input", 1, [1, 3, size, size])],
        [helper.make_tensor_value_info("output", 1, [1, classes])],
        [onnx.numpy_helper.from_array(weights * 10, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return hashlib.sha256(path.read_bytes()).hexdigest()


def describe(path, sha256, **changes):
    fields = {
        "licence": "CC0-1.0",
        "sha256": sha256,
        "crop": 1.5,
        "size": SIZE,
        "classes": ["live", "print", "replay"],
        "threshold": 0.5,
    }
    manifest = {name: value for name, value in (fields | changes).items() if value is not None}
    path.with_name(path.name + ".json").write_text(json.dumps(manifest))
    return path


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "model.onnx"
    return describe(path, network(path))


def picture(colour):
    """A picture of one colour, given as blue, green, red."""
    return np.full((200, 200, 3), colour, np.uint8)


FACE = np.array([60, 60, 80, 80], np.float32)


def status(model, colour):
    return LivenessCheck(model).check([FaceToCheck(picture(colour), FACE)])[0].status


def test_a_file_is_used_as_its_manifest_says(model_file):
    model = load_minifasnet(model_file)
    assert model.id == f"minifasnet-{model.manifest.sha256[:8]}"
    assert status(model, (0, 0, 250)) == "live"
    assert status(model, (0, 250, 0)) == "spoof"
    assert status(model, (250, 100, 0)) == "spoof"


@pytest.mark.parametrize(
    ("changes", "colour"),
    [
        ({"channels": "bgr"}, (250, 100, 0)),
        ({"classes": ["print", "live", "replay"]}, (0, 250, 0)),
        ({"classes": ["print", "replay", "live"]}, (250, 100, 0)),
    ],
)
def test_the_order_of_colours_and_of_classes_counts(model_file, changes, colour):
    describe(model_file, network(model_file), **changes)
    model = load_minifasnet(model_file)
    assert status(model, colour) == "live"
    assert status(model, (0, 0, 250)) == "spoof"


def test_probabilities_add_up(model_file):
    model = load_minifasnet(model_file)
    square = np.full((SIZE, SIZE, 3), (10, 100, 200), np.uint8)
    rows = model.probabilities([square, square])
    means = np.exp(np.array([200, 100, 10]) / 255 * 10)
    assert rows.shape == (2, 3)
    assert np.allclose(rows, means / means.sum(), atol=1e-5)
    assert model.probabilities([]).shape == (0, 3)


def test_values_may_be_those_of_pixels_and_outputs_probabilities(model_file):
    describe(model_file, network(model_file), maximum=255, output="probabilities")
    model = load_minifasnet(model_file)
    square = np.full((SIZE, SIZE, 3), (0, 0, 200), np.uint8)
    assert np.allclose(model.probabilities([square]), [[2000, 0, 0]])


def test_the_threshold_may_be_set(model_file):
    model = load_minifasnet(model_file)
    face = FaceToCheck(picture((0, 90, 100)), FACE)
    assert LivenessCheck(model).check([face])[0].status == "live"
    assert LivenessCheck(model, threshold=0.9).check([face])[0].status == "spoof"


def test_a_picture_of_no_use_is_not_shown_to_the_model(model_file):
    check = LivenessCheck(load_minifasnet(model_file))
    good = FaceToCheck(picture((0, 0, 250)), FACE)
    dark = FaceToCheck(picture((0, 0, 60)), FACE)
    border = FaceToCheck(picture((0, 0, 250)), np.array([150, 60, 80, 80], np.float32))
    small = FaceToCheck(picture((0, 0, 250)), np.array([60, 60, 8, 8], np.float32))
    gone = FaceToCheck(picture((0, 0, 250)), np.array([900, 900, 80, 80], np.float32))
    found = check.check([dark, good, border, small, gone, good])
    assert [one.status for one in found] == [
        "input_rejected",
        "live",
        "input_rejected",
        "input_rejected",
        "input_rejected",
        "live",
    ]
    assert [one.model for one in found] == [None, check.model, None, None, None, check.model]
    assert check.check([]) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"licence": None}, "missing required field `licence`"),
        ({"licence": ""}, "licence"),
        ({"sha256": "0" * 64}, "has SHA-256"),
        ({"sha256": "abc"}, "sha256"),
        ({"crop": 0.5}, "crop"),
        ({"size": 80}, "takes 1x3x32x32, its manifest says 1x3x80x80"),
        ({"classes": ["live", "print"]}, "has 3 outputs, its manifest names 2 classes"),
        ({"classes": ["real", "print", "replay"]}, '"live"'),
        ({"classes": ["live", "live", "replay"]}, '"live"'),
        ({"classes": ["live", "print", "print"]}, "different names"),
        ({"threshold": 0}, "threshold"),
        ({"channels": "grey"}, "channels"),
        ({"croup": 1.5}, "croup"),
    ],
)
def test_a_wrong_manifest_is_refused(model_file, changes, message):
    describe(model_file, **({"sha256": network(model_file)} | changes))
    with pytest.raises(ModelError) as caught:
        load_minifasnet(model_file)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_or_manifest_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    with pytest.raises(ModelError, match=r"cannot read the model file .*model\.onnx"):
        load_minifasnet(path)
    sha256 = network(path)
    with pytest.raises(ModelError, match=r"model\.onnx\.json, the manifest of"):
        load_minifasnet(path)
    describe(path, sha256)
    path.write_bytes(b"other")
    with pytest.raises(ModelError, match="has SHA-256"):
        load_minifasnet(path)
    describe(path, hashlib.sha256(b"other").hexdigest())
    with pytest.raises(ModelError, match=r"model\.onnx"):
        load_minifasnet(path)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"{" * 5000])
def test_a_manifest_that_is_none_is_refused(model_file, content):
    model_file.with_name("model.onnx.json").write_bytes(content)
    with pytest.raises(ModelError, match="is no manifest"):
        load_minifasnet(model_file)


@settings(max_examples=100, deadline=None)
@given(
    box=st.tuples(*[st.floats(-150, 300)] * 2, *[st.floats(1, 300)] * 2),
    crop=st.sampled_from([1.0, 1.5, 2.7, 4.0]),
)
def test_the_square_is_black_outside_of_the_picture(box, crop):
    image = np.full((120, 160, 3), 200, np.uint8)
    square, measures = face_square(image, np.array(box, np.float32), crop, 64)
    assert square.shape == (64, 64, 3)
    assert set(np.unique(square)) <= {0, 200}
    assert 0.0 <= measures.outside <= 1.0
    black = float((square == 0).mean())
    side = max(box[2:]) * crop
    # A row or column of the picture, and one of the square, may be more or less.
    assert abs(black - measures.outside) <= 4 / 64 + 4 / side
    assert abs(measures.enlargement - 64 / side) <= 64 / side


def test_the_square_is_the_surroundings_of_the_face():
    image = np.zeros((300, 300, 3), np.uint8)
    cv2.rectangle(image, (75, 75), (224, 224), (255, 255, 255), -1)
    square, measures = face_square(image, np.array([100, 110, 100, 80], np.float32), 1.5, 128)
    assert square.min() == 255
    assert measures.outside == 0.0
    assert measures.enlargement == pytest.approx(128 / 150)
    larger, _ = face_square(image, np.array([100, 110, 100, 80], np.float32), 2.0, 128)
    assert (larger == 0).any()


@pytest.fixture(scope="module")
def shared_check(shared, tmp_path_factory):
    name = "antispoof_print_replay_1.5_128.onnx"
    path = tmp_path_factory.mktemp("liveness") / name
    shutil.copy(shared / "models" / name, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    describe(path, sha256, licence="for tests only", size=128)
    return LivenessCheck(load_minifasnet(path))


@pytest.mark.parametrize(
    ("name", "expected", "box"),
    [
        ("live", "live", (119, 114, 169, 240)),
        ("print", "spoof", (187, 110, 195, 239)),
        ("replay", "spoof", (139, 216, 223, 299)),
    ],
)
def test_a_model_of_the_family_tells_a_person_from_a_picture(
    shared, shared_check, name, expected, box
):
    image = cv2.imread(os.fspath(shared / "data" / "liveness" / f"{name}.jpg"))
    (found,) = shared_check.check([FaceToCheck(image, np.array(box, np.float32))])
    assert found.status == expected
    assert (found.score > 0.98) == (expected == "live")
    assert (found.score < 0.05) == (expected == "spoof")
    assert found.model == "minifasnet-7ef69faf"
