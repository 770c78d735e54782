"""The embedder in other precisions, computed in float32 with the rounding of these precisions.

So their accuracy can be measured on a processor that does not have them. The times mean nothing.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from domain.arrays import FloatArray

_LAYERS = frozenset({"Conv", "Gemm", "MatMul"})


class Simulated:
    """A model in onnxruntime without any optimisation: each operator computes as the file says."""

    def __init__(self, serialized: bytes) -> None:
        """Load a serialised ONNX model."""
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(
            serialized, sess_options=options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name

    def run(self, batch: FloatArray) -> list[FloatArray]:
        """Run the model on float32 (N, 3, H, W)."""
        outputs: list[FloatArray] = self._session.run(None, {self._input: batch})
        return outputs


def simulated_int8(path: Path) -> Simulated:
    """A quantised file: its layers compute in float32 on values that were rounded to int8."""
    return Simulated(path.read_bytes())


def simulated_bfloat16(path: Path) -> Simulated:
    """A float32 file whose layers get inputs and weights that were rounded to bfloat16.

    They add up in float32, as AMX and AVX-512 BF16 do.
    """
    model = onnx.load_from_string(path.read_bytes())
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    rounded: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type in _LAYERS:
            for place, name in enumerate(node.input[:2]):
                if name in weights:
                    _round_weight(weights[name])
                    continue
                if name not in rounded:
                    rounded[name] = f"{name}/float32"
                    nodes += [
                        helper.make_node("Cast", [name], [f"{name}/bf16"], to=TensorProto.BFLOAT16),
                        helper.make_node(
                            "Cast", [f"{name}/bf16"], [rounded[name]], to=TensorProto.FLOAT
                        ),
                    ]
                node.input[place] = rounded[name]
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return Simulated(model.SerializeToString())


def _round_weight(tensor: onnx.TensorProto) -> None:
    """Round to the nearest bfloat16, ties to even."""
    bits = numpy_helper.to_array(tensor).astype(np.float32).view(np.uint32)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    tensor.CopyFrom(numpy_helper.from_array(bits.astype(np.uint32).view(np.float32), tensor.name))
