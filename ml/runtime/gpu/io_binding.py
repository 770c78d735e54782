"""Runs of an onnxruntime session with buffers that are kept from run to run.

A plain run allocates each output, and copies to and from the GPU through pageable memory. With
bound inputs and outputs (https://onnxruntime.ai/docs/performance/tune-performance/iobinding.html)
both are in buffers of ours, which may be pinned.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnxruntime

from domain.arrays import FloatArray
from ml.runtime.gpu.pinned_memory import values_of

Shape = tuple[int, ...]

#: Makes memory for so many float32 values.
Allocate = Callable[[int], FloatArray]


class _Buffers:
    """The buffers of one run: they grow to the largest that was needed."""

    def __init__(self, names: Sequence[str], allocate: Allocate) -> None:
        self._allocate = allocate
        self._memory = {name: allocate(0) for name in names}

    def array(self, name: str, shape: Shape) -> FloatArray:
        """An array of this shape in the buffer of this input or output."""
        size = values_of(shape)
        if self._memory[name].size < size:
            self._memory[name] = self._allocate(size)
        return self._memory[name][:size].reshape(shape)


class BoundRuns:
    """Runs with buffers; several threads may run at once, each run with buffers of its own."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        entry: str,
        outputs: Sequence[str],
        allocate: Allocate,
    ) -> None:
        """Prepare runs.

        Args:
            session: of a model whose inputs and outputs are float32.
            entry: name of its input.
            outputs: names of its outputs, in their order.
            allocate: makes the buffers' memory.
        """
        self._session = session
        self._entry = entry
        self._outputs = outputs
        self._allocate = allocate
        self._idle: deque[_Buffers] = deque()
        # Shapes of the outputs by the input's: known once a run of this shape is done.
        self._shapes: dict[Shape, Mapping[str, Shape]] = {}

    def run(self, batch: FloatArray) -> list[FloatArray]:
        """Run the model; the arrays returned are the caller's own."""
        try:
            buffers = self._idle.pop()
        except IndexError:
            buffers = _Buffers([self._entry, *self._outputs], self._allocate)
        try:
            return self._run(batch, buffers)
        finally:
            self._idle.append(buffers)

    def _run(self, batch: FloatArray, buffers: _Buffers) -> list[FloatArray]:
        binding = self._session.io_binding()
        given = buffers.array(self._entry, batch.shape)
        np.copyto(given, batch)
        binding.bind_cpu_input(self._entry, given)
        shapes = self._shapes.get(batch.shape)
        if shapes is None:
            found = self._first_run(binding)
            self._shapes[batch.shape] = {
                name: array.shape for name, array in zip(self._outputs, found, strict=True)
            }
            return found
        results = [buffers.array(name, shapes[name]) for name in self._outputs]
        for name, result in zip(self._outputs, results, strict=True):
            binding.bind_output(name, "cpu", 0, np.float32, result.shape, result.ctypes.data)
        self._run_bound(binding)
        return [result.copy() for result in results]

    def _first_run(self, binding: onnxruntime.IOBinding) -> list[FloatArray]:
        """The runtime allocates the outputs, because their shapes are not known yet."""
        for name in self._outputs:
            binding.bind_output(name, "cpu")
        self._run_bound(binding)
        return [np.array(output, np.float32) for output in binding.copy_outputs_to_cpu()]

    def _run_bound(self, binding: onnxruntime.IOBinding) -> None:
        # Copies may take place in another stream than the run.
        binding.synchronize_inputs()
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
