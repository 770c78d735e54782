"""Quantise an ONNX model to int8, with ranges of activations that were measured before.

The form is QDQ: each quantised tensor passes QuantizeLinear and DequantizeLinear, and a runtime
that finds them around a convolution or a dense layer computes it on integers
(https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html). Activations are
uint8 with one scale a tensor, weights int8 with one scale an output channel, symmetric, as in
Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", 2018. Everything else stays float32.

The result depends on the model and the ranges alone: it is the same on every machine.
"""

from collections.abc import Container, Iterator, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, version_converter

from domain.images.image_errors import ModelError
from ml.runtime.onnx_rewrite import load_model

#: Least and greatest value of each activation, by the tensor's name.
Ranges = Mapping[str, tuple[float, float]]

_OPSET = 13
_WEIGHT_LIMIT = 127
_ACTIVATION_LIMIT = 255


def activations_to_measure(model: onnx.ModelProto) -> list[str]:
    """Names of the tensors whose ranges `quantize_model` needs, in the graph's order."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return list(dict.fromkeys(node.input[0] for node in _layers(model, weights)))


def quantize_model(serialized: bytes, ranges: Ranges) -> bytes:
    """Quantise the convolutions and dense layers of a serialised float32 model.

    Args:
        serialized: a model whose weights are float32 initialisers: a user's file, or what
            `ml.runtime.onnx_rewrite.prepare_model` returns.
        ranges: of the first input of each such layer.

    Returns:
        The serialised quantised model.

    Raises:
        ModelError: the bytes are no ONNX model, a range is missing or not finite or empty, or
            there is nothing to quantise.
    """
    model = _with_axes(load_model(serialized))
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    layers = {node.output[0]: node for node in _layers(model, weights.keys())}
    if not layers:
        raise ModelError("the model has no convolution or dense layer to quantise")
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, NDArray[np.generic]] = {}
    done: set[str] = set()
    for node in model.graph.node:
        if node.output[0] in layers:
            x, w = node.input[:2]
            if x not in done:
                constants |= _activation_constants(x, ranges)
                nodes += _quantized_activation(x)
            if w not in done:
                axis = _output_axis(node)
                constants |= _weight_constants(w, numpy_helper.to_array(weights[w]), axis)
                nodes.append(_dequantized(w, axis))
            done |= {x, w}
            node.input[0], node.input[1] = f"{x}_dequantized", f"{w}_dequantized"
        nodes.append(node)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    # Old files list weights as inputs, too.
    inputs = [entry for entry in model.graph.input if entry.name not in weights]
    del model.graph.node[:], model.graph.initializer[:], model.graph.input[:]
    model.graph.input.extend(inputs)
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(kept)
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in constants.items()
    )
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"the int8 form is not a valid ONNX model: {error}") from error
    return bytes(model.SerializeToString(deterministic=True))


def _with_axes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model in an opset whose DequantizeLinear takes one scale per channel."""
    if all(entry.version >= _OPSET for entry in model.opset_import if not entry.domain):
        return model
    try:
        return version_converter.convert_version(model, _OPSET)
    except (RuntimeError, version_converter.ConvertError) as error:
        raise ModelError(f"the model cannot be brought to ONNX opset {_OPSET}: {error}") from error


def _layers(model: onnx.ModelProto, weights: Container[str]) -> Iterator[onnx.NodeProto]:
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm") and node.input[1] in weights:
            yield node


def _activation_constants(name: str, ranges: Ranges) -> dict[str, NDArray[np.generic]]:
    if name not in ranges:
        raise ModelError(f"no activation range of {name}: the ranges are of another model")
    low, high = (np.float32(value) for value in ranges[name])
    low, high = min(low, np.float32(0)), max(high, np.float32(0))  # zero must be exact: padding
    if not np.isfinite(high - low) or not high > low:
        raise ModelError(f"the activation range of {name} is {ranges[name]}")
    scale = np.float32((high - low) / np.float32(_ACTIVATION_LIMIT))
    zero = np.uint8(np.clip(np.rint(-low / scale), 0, _ACTIVATION_LIMIT))
    return {f"{name}_scale": np.array(scale), f"{name}_zero": np.array(zero)}


def _output_axis(node: onnx.NodeProto) -> int:
    """The axis of a layer's weight that counts its output channels."""
    transposed = any(one.name == "transB" and one.i for one in node.attribute)
    return 0 if node.op_type == "Conv" or transposed else 1


def _weight_constants(
    name: str, weight: NDArray[np.generic], axis: int
) -> dict[str, NDArray[np.generic]]:
    values = weight.astype(np.float32)
    others = tuple(one for one in range(values.ndim) if one != axis)
    largest = np.abs(values).max(axis=others, keepdims=True)
    scale = np.where(largest > 0, largest / np.float32(_WEIGHT_LIMIT), np.float32(1))
    scale = scale.astype(np.float32)
    quantized = np.clip(np.rint(values / scale), -_WEIGHT_LIMIT, _WEIGHT_LIMIT).astype(np.int8)
    return {
        f"{name}_quantized": quantized,
        f"{name}_scale": scale.ravel(),
        f"{name}_zero": np.zeros(scale.size, np.int8),
    }


def _quantized_activation(name: str) -> list[onnx.NodeProto]:
    parameters = [f"{name}_scale", f"{name}_zero"]
    quantize = helper.make_node("QuantizeLinear", [name, *parameters], [f"{name}_quantized"])
    return [quantize, _dequantized(name)]


def _dequantized(name: str, axis: int | None = None) -> onnx.NodeProto:
    inputs = [f"{name}_quantized", f"{name}_scale", f"{name}_zero"]
    node = helper.make_node("DequantizeLinear", inputs, [f"{name}_dequantized"])
    if axis is not None:
        node.attribute.append(helper.make_attribute("axis", axis))
    return node
