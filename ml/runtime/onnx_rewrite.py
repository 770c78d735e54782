"""Make a published ONNX file one that onnxruntime runs, and runs fast.

The built-in files store 8-bit weights and dequantise them in the graph, in ways onnxruntime 1.32
refuses (a block size together with per-tensor scales; weights listed as inputs). Here the weights
become float32 constants once, so no run pays for it. The result of the graph does not change.
"""

from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from domain.images.image_errors import ModelError

Constants = dict[str, NDArray[np.generic]]


def load_model(serialized: bytes) -> onnx.ModelProto:
    """Parse a serialised model.

    Raises:
        ModelError: it is not an ONNX model.
    """
    try:
        return onnx.load_model_from_string(serialized)
    except Exception as error:
        # Each protobuf backend has its own exception types.
        raise ModelError(f"not an ONNX model: {error}") from error


def prepare_model(serialized: bytes) -> bytes:
    """Rewrite a serialised ONNX model.

    Dequantised weights are folded, weights leave the list of inputs, PRelu becomes cheaper
    operators, and the batch size is free; so are height and width where the model is fully
    convolutional.

    Raises:
        ModelError: the bytes are no ONNX model, or the graph has a form this module does not know.
    """
    model = load_model(serialized)
    graph = model.graph
    constants: Constants = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer
    }
    nodes = _fold(graph.node, constants)
    nodes = [new for node in nodes for new in _rewrite_prelu(node, constants)]
    used = {name for node in nodes for name in node.input}
    # Weights, and former weights, may be among the inputs.
    inputs = [entry for entry in graph.input if entry.name in used - constants.keys()]
    _free_shapes(nodes, inputs, list(graph.output), constants)
    prepared = helper.make_graph(
        nodes,
        graph.name,
        inputs,
        list(graph.output),
        [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used],
    )
    result = helper.make_model(prepared, opset_imports=model.opset_import)
    result.ir_version = model.ir_version
    onnx.checker.check_model(result)
    return bytes(result.SerializeToString(deterministic=True))


def _fold(nodes: Iterable[onnx.NodeProto], constants: Constants) -> list[onnx.NodeProto]:
    """Evaluate DequantizeLinear and Reshape of constants; their results join ``constants``."""
    kept = []
    for node in nodes:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type == "DequantizeLinear" and _all_constant(node, constants):
            constants[node.output[0]] = _dequantize(node, constants)
        elif node.op_type == "Reshape" and _all_constant(node, constants):
            values, shape = (constants[name] for name in node.input)
            constants[node.output[0]] = values.reshape(shape.astype(int).tolist())
        else:
            kept.append(node)
    return kept


def _all_constant(node: onnx.NodeProto, constants: Constants) -> bool:
    return all(name in constants for name in node.input)


def _dequantize(node: onnx.NodeProto, constants: Constants) -> NDArray[np.float32]:
    """ONNX DequantizeLinear: (quantized - zero_point) * scale, per tensor, axis or block."""
    quantized, scale, *rest = (constants[name] for name in node.input)
    attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    axis = int(attributes.get("axis", 1))
    zero = rest[0] if rest else np.zeros_like(scale)

    def spread(values: NDArray[np.generic]) -> NDArray[np.float32]:
        numbers = values.astype(np.float32)
        if numbers.size == 1:
            return numbers.reshape(())
        if numbers.ndim == 1 and quantized.ndim > 1:  # one per index of the axis
            return numbers.reshape([-1 if i == axis else 1 for i in range(quantized.ndim)])
        repeated = np.repeat(numbers, int(attributes.get("block_size", 0)) or 1, axis)
        return np.take(repeated, range(quantized.shape[axis]), axis)

    return np.asarray((quantized.astype(np.float32) - spread(zero)) * spread(scale), np.float32)


def _rewrite_prelu(node: onnx.NodeProto, constants: Constants) -> list[onnx.NodeProto]:
    """PRelu(x, a) is max(x, a x) where a <= 1, and relu(x) + a min(x, 0) always.

    onnxruntime has no vectorised PRelu on the CPU; in SFace it takes half the time.
    """
    if node.op_type != "PRelu" or node.input[1] not in constants:
        return [node]
    x, slope = node.input
    y = node.output[0]
    if (constants[slope].astype(np.float32) <= 1).all():
        return [
            helper.make_node("Mul", [x, slope], [f"{y}_scaled"]),
            helper.make_node("Max", [x, f"{y}_scaled"], [y]),
        ]
    zero = "prelu_zero"
    constants[zero] = np.zeros((), np.float32)
    return [
        helper.make_node("Relu", [x], [f"{y}_positive"]),
        helper.make_node("Min", [x, zero], [f"{y}_negative"]),
        helper.make_node("Mul", [f"{y}_negative", slope], [f"{y}_scaled"]),
        helper.make_node("Add", [f"{y}_positive", f"{y}_scaled"], [y]),
    ]


def _free_shapes(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: Constants,
) -> None:
    """Let the batch size vary, and height and width unless a dense layer binds them."""
    for node in nodes:
        if node.op_type == "Reshape" and node.input[1] in constants:
            shape = constants[node.input[1]].copy()
            if shape.size > 1 and shape[0] == 1:
                shape[0] = 0  # 0 copies the dimension from the input
                constants[node.input[1]] = shape
    convolutional = not any(node.op_type in ("Gemm", "MatMul") for node in nodes)
    free = ("batch", None, "height", "width") if convolutional else ("batch", None, None, None)
    for entry in inputs:
        _rename_dimensions(entry, free)
    for entry in outputs:
        _rename_dimensions(entry, ("batch", f"{entry.name}_cells" if convolutional else None, None))


def _rename_dimensions(entry: onnx.ValueInfoProto, names: Iterable[str | None]) -> None:
    for dimension, name in zip(entry.type.tensor_type.shape.dim, names, strict=False):
        if name is not None:
            dimension.dim_param = name
