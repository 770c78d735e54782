"""Measure the ranges of a model's activations, which `ml.runtime.onnx_quantize` needs."""

from collections.abc import Iterable

import numpy as np
import onnx
import onnxruntime

from domain.arrays import FloatArray
from domain.images.image_errors import ModelError
from ml.runtime.onnx_quantize import activations_to_measure
from ml.runtime.onnx_rewrite import load_model

# Share of a batch's values that may be beyond each end of a range.
_TAIL = 1e-4


def measure_ranges(
    serialized: bytes, batches: Iterable[FloatArray]
) -> dict[str, tuple[float, float]]:
    """The range of each activation, without the most extreme 1 in 5,000 of a batch's values.

    A few extreme values would make the steps coarse for all others.

    Args:
        serialized: a float32 model.
        batches: inputs of the model, float32 in its input shape.

    Returns:
        Least and greatest value by the tensor's name, rounded to six digits, so that a table in
        JSON holds exactly these values.

    Raises:
        ModelError: not a model that onnxruntime runs, or there was no batch.
    """
    model = load_model(serialized)
    names = activations_to_measure(model)
    known = {entry.name for entry in (*model.graph.input, *model.graph.output)}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        # onnxruntime raises a dozen unrelated types, most of them without a common base.
        raise ModelError(f"onnxruntime cannot run the model: {error}") from error
    (entry,) = session.get_inputs()
    low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    for batch in batches:
        given = {entry.name: batch}
        values = session.run([name for name in names if name != entry.name], given)
        found = given | dict(zip((n for n in names if n != entry.name), values, strict=True))
        ends = np.array([np.quantile(found[name], (_TAIL, 1 - _TAIL)) for name in names])
        low, high = np.minimum(low, ends[:, 0]), np.maximum(high, ends[:, 1])
    if not np.isfinite(low).all():
        raise ModelError("no picture to measure activation ranges with")
    return {
        name: (float(f"{least:.6g}"), float(f"{most:.6g}"))
        for name, least, most in zip(names, low, high, strict=True)
    }
