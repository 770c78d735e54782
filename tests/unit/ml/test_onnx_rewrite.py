import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from domain.images.image_errors import ModelError
from ml.runtime import model_registry
from ml.runtime.onnx_rewrite import prepare_model

# What the dequantised graph computes, and what the folded one computes, differ by rounding.
TOLERANCE = 1e-5


def published(model):
    return model_registry._locate(model)


def run(serialized, batch):
    session = onnxruntime.InferenceSession(serialized, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: batch})


def prepared(model):
    return prepare_model(published(model).read_bytes())


def test_sface_computes_what_the_published_graph_computes():
    batch = np.random.default_rng(0).integers(0, 256, (1, 3, 112, 112)).astype(np.float32)
    reference = ReferenceEvaluator(onnx.load(published(model_registry.SFACE)))
    expected = reference.run(None, {"data": batch})[0]
    (actual,) = run(prepared(model_registry.SFACE), batch)
    np.testing.assert_allclose(actual, expected, atol=TOLERANCE)


def test_sface_takes_any_batch():
    batch = np.random.default_rng(0).integers(0, 256, (3, 3, 112, 112)).astype(np.float32)
    model = prepared(model_registry.SFACE)
    (together,) = run(model, batch)
    alone = np.concatenate([run(model, batch[i : i + 1])[0] for i in range(3)])
    np.testing.assert_allclose(together, alone, atol=TOLERANCE)


def test_yunet_computes_what_the_published_graph_computes(shared):
    image = cv2.imread(str(shared / "data/groups/compreface/014_5.jpg"))
    batch = np.ascontiguousarray(image[:512, :640].transpose(2, 0, 1)[None], np.float32)
    batch = np.pad(batch, ((0, 0), (0, 0), (0, 640 - batch.shape[2]), (0, 640 - batch.shape[3])))
    network = cv2.dnn.readNetFromONNX(str(published(model_registry.YUNET)))
    network.setInput(batch)
    names = [out.name for out in onnx.load(published(model_registry.YUNET)).graph.output]
    expected = network.forward(names)
    for name, actual, reference in zip(
        names, run(prepared(model_registry.YUNET), batch), expected, strict=True
    ):
        np.testing.assert_allclose(actual, reference, atol=1e-4, err_msg=name)


def test_yunet_takes_any_batch_and_size():
    random = np.random.default_rng(0)
    model = prepared(model_registry.YUNET)
    batch = random.integers(0, 256, (2, 3, 96, 160)).astype(np.float32)
    together = run(model, batch)
    assert [out.shape for out in together[:3]] == [(2, 240, 1), (2, 60, 1), (2, 15, 1)]
    for i in range(2):
        for one, both in zip(run(model, batch[i : i + 1]), together, strict=True):
            np.testing.assert_allclose(one[0], both[i], atol=1e-4)


def test_prepared_models_have_one_input_and_plain_weights():
    for model in (model_registry.SFACE, model_registry.YUNET):
        graph = onnx.load_model_from_string(prepared(model)).graph
        assert len(graph.input) == 1
        kinds = {node.op_type for node in graph.node}
        assert not kinds & {"DequantizeLinear", "PRelu"}


def small_model(nodes, constants, shape=(1, 2, 3, 3)):
    entry = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(shape))
    graph = helper.make_graph(
        nodes,
        "small",
        [entry],
        [out],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    model.ir_version = 10
    return model.SerializeToString()


@pytest.mark.parametrize("slopes", [[0.25, -0.5], [1.0, 0.0], [1.5, -2.0]])
def test_prelu_is_rewritten_for_any_slope(slopes):
    slope = np.array(slopes, np.float32).reshape(2, 1, 1)
    original = small_model([helper.make_node("PRelu", ["x", "a"], ["y"])], {"a": slope})
    x = np.linspace(-3, 3, 18, dtype=np.float32).reshape(1, 2, 3, 3)
    expected = run(original, x)[0]
    rewritten = prepare_model(original)
    assert "PRelu" not in {n.op_type for n in onnx.load_model_from_string(rewritten).graph.node}
    np.testing.assert_allclose(run(rewritten, x)[0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("scale", "axis", "block"),
    [
        (np.float32(0.5), 1, 0),
        (np.array([0.5, 2.0], np.float32), 0, 0),
        (np.array([1, 2, 3, 4], np.float32), 1, 0),
        (np.array([[1, 2], [3, 4]], np.float32), 1, 2),
        (np.array([[1, 2], [3, 4]], np.float32), 1, 3),
    ],
    ids=["tensor", "rows", "columns", "blocks", "last block short"],
)
def test_weights_are_dequantised_as_onnx_defines(scale, axis, block):
    quantized = np.arange(-4, 4, dtype=np.int8).reshape(2, 4)
    zero = np.ones_like(scale, np.int8)
    attributes = {"axis": axis} | ({"block_size": block} if block else {})
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], **attributes),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    constants = {"q": quantized, "s": np.asarray(scale), "z": np.asarray(zero)}
    original = small_model(nodes, constants, shape=(2, 2))
    identity = np.eye(2, dtype=np.float32)
    if block:
        repeated = np.repeat(scale, block, axis)[:, :4]
    else:
        repeated = scale if scale.ndim == 0 else scale.reshape((2, 1) if axis == 0 else (1, 4))
    expected = (quantized.astype(np.float32) - 1) * repeated
    np.testing.assert_allclose(run(prepare_model(original), identity)[0], expected)


def test_what_is_no_model_is_refused():
    with pytest.raises(ModelError, match="not an ONNX model"):
        prepare_model(b"no model at all")
