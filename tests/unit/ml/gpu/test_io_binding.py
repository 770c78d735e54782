"""Runs with bound buffers give what plain runs give."""

import ctypes
import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.runtime.gpu import pinned_memory
from ml.runtime.gpu.io_binding import BoundRuns
from ml.runtime.gpu.pinned_memory import ordinary, pinned
from ml.runtime.model_registry import YUNET, prepare_builtin
from ml.runtime.onnxruntime_sessions import OnnxruntimeSession


@pytest.fixture(scope="module")
def yunet(model_cache):
    path = prepare_builtin(YUNET, model_cache)
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def plain(yunet):
    return OnnxruntimeSession(yunet, "cpu")


def batch_of(shape, seed):
    size, height, width = shape
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (size, 3, height, width)).astype(np.float32)


def same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


SHAPES = st.tuples(st.integers(1, 3), st.sampled_from([32, 64]), st.sampled_from([32, 96]))


@settings(max_examples=100, deadline=None)
@given(st.lists(SHAPES, min_size=1, max_size=5))
def test_runs_of_any_shapes_are_as_without(yunet, plain, shapes):
    bound = OnnxruntimeSession(yunet, "cpu", io_binding=True)
    batches = [batch_of(shape, seed) for seed, shape in enumerate([*shapes, *shapes])]
    found = [bound.run(batch) for batch in batches]
    for outputs, batch in zip(found, batches, strict=True):  # later runs changed none
        same(outputs, plain.run(batch))


def test_runs_at_the_same_time_do_not_share_buffers(yunet, plain):
    names = [output.name for output in yunet.get_outputs()]
    bound = BoundRuns(yunet, yunet.get_inputs()[0].name, names, ordinary)
    batches = [batch_of((1, 64, 64), seed) for seed in range(40)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(bound.run, batches))
    for outputs, batch in zip(found, batches, strict=True):
        same(outputs, plain.run(batch))


def test_buffers_are_made_once_and_grow(yunet):
    made = []

    def allocate(count):
        made.append(count)
        return ordinary(count)

    names = [output.name for output in yunet.get_outputs()]
    bound = BoundRuns(yunet, yunet.get_inputs()[0].name, names, allocate)
    for size in (64, 64, 32, 96, 96, 64, 32):
        bound.run(batch_of((1, size, size), size))
    assert max(made) == 3 * 96 * 96
    count = len(made)
    for size in (64, 32, 96):
        bound.run(batch_of((1, size, size), size))
    assert len(made) == count


def test_without_working_buffers_runs_are_plain_with_one_warning(yunet, plain, caplog, monkeypatch):
    bound = OnnxruntimeSession(yunet, "cuda", io_binding=True)
    calls = []

    def broken(self, batch):
        calls.append(batch)
        raise RuntimeError("no binding here")

    monkeypatch.setattr(BoundRuns, "run", broken)
    batch = batch_of((1, 32, 32), 1)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            same(bound.run(batch), plain.run(batch))
    assert len(calls) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "runs go on without bound buffers: no binding here"
    ]


def test_a_run_that_fails_either_way_is_an_error(yunet):
    bound = OnnxruntimeSession(yunet, "cuda", io_binding=True)
    with pytest.raises(Exception, match=r"invalid dimensions|rank|Invalid"):
        bound.run(np.zeros((1, 3, 32), np.float32))


class PretendedCuda:
    """CUDA's functions for pinned memory, on ordinary memory."""

    def __init__(self, error=0):
        self.error = error
        self.blocks = {}

    def cudaHostAlloc(self, pointer, size, _flags):  # noqa: N802 - CUDA's name
        if not self.error:
            block = ctypes.create_string_buffer(size.value)
            pointer._obj.value = ctypes.addressof(block)
            self.blocks[ctypes.addressof(block)] = block
        return self.error

    def cudaFreeHost(self, pointer):  # noqa: N802 - CUDA's name
        del self.blocks[pointer.value]


@pytest.fixture(autouse=True)
def _forget():
    yield
    pinned_memory._runtime.cache_clear()
    pinned_memory._warn.cache_clear()


@settings(max_examples=100)
@given(count=st.integers(0, 1000))
def test_pinned_memory_is_freed_with_its_last_array(count):
    cuda = PretendedCuda()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pinned_memory, "_runtime", lambda: cuda)
        memory = pinned(count)
    assert (memory.size, memory.dtype) == (count, np.float32)
    memory[:] = 7
    assert len(cuda.blocks) == (count > 0)
    view = memory[: count // 2].reshape(-1, 1)
    del memory
    assert (view == 7).all()
    assert len(cuda.blocks) == (count > 0)
    del view
    assert not cuda.blocks


@pytest.mark.parametrize("cuda", [None, PretendedCuda(error=2)])
def test_without_pinned_memory_there_is_ordinary_memory_and_one_warning(cuda, monkeypatch, caplog):
    if cuda is None:
        monkeypatch.setattr(pinned_memory, "_LIBRARIES", ("libcudart.so.none",))
    else:
        monkeypatch.setattr(pinned_memory, "_runtime", lambda: cuda)
    with caplog.at_level(logging.WARNING):
        assert pinned(10).shape == (10,)
        assert pinned(20).shape == (20,)
    assert len(caplog.records) == 1
