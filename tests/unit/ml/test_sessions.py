import os
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest

from domain.images.image_errors import ModelError, ProviderUnavailable
from ml.runtime.model_registry import YUNET, prepare_builtin
from ml.runtime.sessions import create_session, to_nchw


@pytest.fixture
def yunet_file(model_cache):
    return prepare_builtin(YUNET, model_cache)


def test_cpu_session_runs(yunet_file):
    session = create_session(yunet_file, "cpu", threads=1)
    assert session.provider == "cpu"
    assert session.input_shape == (None, 3, None, None)
    assert session.batch_size(16) == 1
    outputs = session.run(np.zeros((1, 3, 64, 96), np.float32))
    assert len(outputs) == len(session.output_shapes) == 12


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_is_not_installed_is_refused(yunet_file, provider, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ProviderUnavailable) as caught:
        create_session(yunet_file, provider, threads=1)
    message = str(caught.value)
    assert f"FECAPASS_MODELS__EXECUTION_PROVIDER={provider}" in message
    assert "FECAPASS_MODELS__EXECUTION_PROVIDER=cpu" in message
    assert "CPUExecutionProvider" in message


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_fails_to_start_is_refused(yunet_file, provider, monkeypatch):
    # onnxruntime lists what it was built with, and falls back with a warning when the driver or
    # a library is missing: the session then runs on the CPU.
    everything = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: everything)
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda path, **options: real(path, **(options | {"providers": ["CPUExecutionProvider"]})),
    )
    with pytest.raises(ProviderUnavailable, match="the session runs on CPUExecutionProvider"):
        create_session(yunet_file, provider, threads=1)


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_a_file_that_is_no_model_is_refused(tmp_path, provider):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"model\.onnx"):
        create_session(path, provider, threads=1)
    with pytest.raises(ModelError, match=r"absent\.onnx"):
        create_session(tmp_path / "absent.onnx", provider, threads=1)


def test_to_nchw_keeps_values():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    batch = to_nchw([image, image])
    assert batch.shape == (2, 3, 2, 4)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    np.testing.assert_array_equal(batch[1], image.transpose(2, 0, 1))
    np.testing.assert_array_equal(to_nchw([image], rgb=True)[0], image.transpose(2, 0, 1)[::-1])


def test_the_runtime_reports_nothing_to_its_maker():
    code = "import ml.runtime.sessions, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=True
    )
    assert done.stdout.split() == [b"1"]
