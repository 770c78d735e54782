"""The int8 form: what it computes, where it comes from, and that it is the same everywhere."""

import dataclasses
import hashlib
import json

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from domain.images.image_errors import ModelError
from ml.runtime import model_registry
from ml.runtime.model_registry import SFACE, YUNET, prepare_builtin
from ml.runtime.onnx_quantize import activations_to_measure, quantize_model
from ml.runtime.range_measurement import measure_ranges


def model_of(nodes, weights, shape):
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    model.ir_version = 10
    return model.SerializeToString()


def two_layers(seed=0, transposed=1):
    random = np.random.default_rng(seed)
    weights = {
        "k": random.normal(size=(4, 3, 3, 3)).astype(np.float32)
        * [[[[1]]], [[[9]]], [[[0.1]]], [[[0]]]],
        "w": random.normal(size=(5, 4)).astype(np.float32),
        "b": random.normal(size=5).astype(np.float32),
    }
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    if not transposed:
        weights["w"] = np.ascontiguousarray(weights["w"].T)
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["y"], transB=transposed),
    ]
    return model_of(nodes, weights, (1, 3, 8, 8))


def run(serialized, x):
    return ReferenceEvaluator(onnx.load_model_from_string(serialized)).run(None, {"x": x})[0]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_it_computes_nearly_the_same(seed):
    model = two_layers(seed)
    x = np.random.default_rng(seed + 1).normal(size=(1, 3, 8, 8)).astype(np.float32)
    quantized = quantize_model(model, measure_ranges(model, [x]))
    expected, found = run(model, x), run(quantized, x)
    assert np.abs(found - expected).max() < 0.03 * np.abs(expected).max() + 0.03
    assert not np.array_equal(found, expected)


def test_the_layers_are_quantised_and_nothing_else():
    model = two_layers()
    assert activations_to_measure(onnx.load_model_from_string(model)) == ["x", "f"]
    ranges = {"x": (-3.0, 3.0), "f": (0.0, 2.0)}
    graph = onnx.load_model_from_string(quantize_model(model, ranges)).graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("QuantizeLinear") == 2
    assert kinds.count("DequantizeLinear") == 4
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    assert {"k", "w"}.isdisjoint(constants)  # their float values are gone
    assert (constants["k_quantized"].dtype, constants["k_quantized"].shape) == (
        np.int8,
        (4, 3, 3, 3),
    )
    assert constants["k_scale"].shape == (4,)  # of each output channel, also of one that is zero
    assert np.abs(constants["k_quantized"][:3]).reshape(3, -1).max(axis=1).tolist() == [127] * 3
    assert constants["x_zero"] == 128
    assert constants["x_scale"] == np.float32(6 / 255)
    assert constants["f_zero"] == 0


def test_each_output_of_a_dense_layer_has_its_own_scale_in_either_layout():
    ranges = {"x": (-3.0, 3.0), "f": (0.0, 2.0)}
    found = []
    for transposed in (1, 0):
        quantized = quantize_model(two_layers(transposed=transposed), ranges)
        graph = onnx.load_model_from_string(quantized).graph
        found.append({one.name: numpy_helper.to_array(one) for one in graph.initializer})
        assert run(quantized, np.ones((1, 3, 8, 8), np.float32)).shape == (1, 5)
    one, other = found
    assert one["w_scale"].shape == (5,)
    np.testing.assert_array_equal(one["w_scale"], other["w_scale"])
    np.testing.assert_array_equal(one["w_quantized"].T, other["w_quantized"])


def test_zero_stays_exact_for_the_sake_of_padding():
    model = two_layers()
    graph = onnx.load_model_from_string(
        quantize_model(model, {"x": (1.0, 3.0), "f": (-3, -1)})
    ).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    assert (constants["x_zero"], constants["f_zero"]) == (0, 255)
    assert constants["x_scale"] == constants["f_scale"] == np.float32(3 / 255)


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ({"x": (0.0, 1.0)}, "no activation range of f"),
        ({"x": (0.0, 0.0), "f": (0.0, 1.0)}, "range of x is"),
        ({"x": (0.0, float("inf")), "f": (0.0, 1.0)}, "range of x is"),
        ({"x": (0.0, float("nan")), "f": (0.0, 1.0)}, "range of x is"),
    ],
)
def test_ranges_that_do_not_fit_are_refused(ranges, words):
    with pytest.raises(ModelError, match=words):
        quantize_model(two_layers(), ranges)


def test_a_model_without_layers_is_refused():
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {}, (1, 2))
    with pytest.raises(ModelError, match="no convolution"):
        quantize_model(model, {})
    with pytest.raises(ModelError, match="no picture"):
        measure_ranges(two_layers(), [])


def test_a_model_that_cannot_run_is_refused():
    model = model_of([helper.make_node("NoSuchOperator", ["x"], ["y"])], {}, (1, 2))
    with pytest.raises(ModelError, match="onnxruntime cannot run"):
        measure_ranges(model, [])


def test_a_model_of_an_opset_that_cannot_be_converted_is_refused():
    model = onnx.load_model_from_string(two_layers())
    model.opset_import[0].version = 3
    model.graph.node[1].op_type = "NoSuchOperator"
    with pytest.raises(ModelError, match="cannot be brought to ONNX opset"):
        quantize_model(model.SerializeToString(), {"x": (-3.0, 3.0), "f": (0.0, 2.0)})


def test_ranges_hold_nearly_all_values_of_every_batch():
    model = two_layers()
    random = np.random.default_rng(3)
    batches = [random.normal(size=(1, 3, 8, 8)).astype(np.float32) * scale for scale in (1, 5)]
    ranges = measure_ranges(model, batches)
    assert list(ranges) == ["x", "f"]
    low, high = ranges["x"]
    assert low == pytest.approx(min(b.min() for b in batches), rel=0.05)
    assert high == pytest.approx(max(b.max() for b in batches), rel=0.05)
    assert ranges == {
        name: tuple(values) for name, values in json.loads(json.dumps(ranges)).items()
    }


# ---------------------------------------------------------------- the built-in embedder


@pytest.fixture(scope="module")
def sface_int8(model_cache):
    return prepare_builtin(SFACE, model_cache, quantized=True)


def test_sface_is_prepared_alike_on_every_machine(sface_int8):
    content = sface_int8.read_bytes()
    assert hashlib.sha256(content).hexdigest() == SFACE.int8_sha256 == sface_int8.suffixes[-2][1:]
    assert b"QuantizeLinear" in content


def test_both_forms_lie_in_one_cache_and_are_not_confused(sface_int8, model_cache):
    plain = prepare_builtin(SFACE, model_cache)
    assert plain != sface_int8
    assert b"QuantizeLinear" not in plain.read_bytes()
    assert prepare_builtin(SFACE, model_cache, quantized=True) == sface_int8
    assert prepare_builtin(SFACE, model_cache) == plain


def test_the_int8_form_takes_any_batch(sface_int8):
    session = onnxruntime.InferenceSession(str(sface_int8), providers=["CPUExecutionProvider"])
    batch = np.random.default_rng(0).uniform(0, 255, (3, 3, 112, 112)).astype(np.float32)
    (found,) = session.run(None, {"data": batch})
    assert found.shape == (3, 128)


@pytest.fixture
def another_table(monkeypatch):
    """As if another release had other ranges."""
    ranges = {
        name: (low, 1.1 * high) for name, (low, high) in model_registry._ranges(SFACE).items()
    }
    monkeypatch.setattr(model_registry, "_ranges", lambda _model: ranges)


def sha256_in(error):
    return str(error.value).partition("has SHA-256 ")[2].partition(",")[0]


def test_another_table_is_another_file_and_is_refused(another_table, tmp_path):
    with pytest.raises(ModelError, match=f"expected {SFACE.int8_sha256}"):
        prepare_builtin(SFACE, tmp_path, quantized=True)
    assert list(tmp_path.rglob("*.onnx")) == []


def test_the_file_of_another_release_is_not_used(
    another_table, tmp_path, sface_int8, monkeypatch, caplog
):
    with pytest.raises(ModelError) as error:
        prepare_builtin(SFACE, tmp_path, quantized=True)
    other = dataclasses.replace(SFACE, int8_sha256=sha256_in(error))
    older = prepare_builtin(other, tmp_path, quantized=True)
    monkeypatch.undo()
    made = prepare_builtin(SFACE, tmp_path, quantized=True)
    assert made != older
    assert made.read_bytes() == sface_int8.read_bytes()
    assert older.exists()
    assert not caplog.records
    made.write_bytes(b"damaged")
    assert prepare_builtin(SFACE, tmp_path, quantized=True).read_bytes() == sface_int8.read_bytes()


def test_a_model_without_a_table_has_no_int8_form(tmp_path):
    with pytest.raises(ModelError, match="yunet-2023mar has no int8 form"):
        prepare_builtin(YUNET, tmp_path, quantized=True)


def test_the_table_lies_next_to_the_code():
    assert next(iter(model_registry._ranges(SFACE))) == "_mulscalar0"
