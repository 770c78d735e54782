"""OpenVINO's runtime gives what onnxruntime gives, to each of several threads."""

import importlib.util
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from config.settings import ModelSettings
from domain.images.image_errors import ModelError, ProviderUnavailable
from ml.recognition.face_analyser import build_analyser
from ml.runtime.model_registry import SFACE, YUNET, prepare_builtin
from ml.runtime.sessions import create_session
from tests.unit.ml.conftest import ALL_OPENVINO, SPLIT

# YuNet, SFace, and files that fix their input or have outputs without a batch dimension.
MODELS = ["yunet", "sface", "scrfd_500m_bnkps", "scrfd_2.5g_bnkps", "mobilefacenet"]


def file_of(name, model_cache, request):
    if name in ("yunet", "sface"):
        return prepare_builtin({"yunet": YUNET, "sface": SFACE}[name], model_cache)
    return request.getfixturevalue("shared") / f"models/{name}.onnx"


def noise(shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


@pytest.mark.parametrize("name", MODELS)
def test_each_model_gives_the_same_as_in_onnxruntime(name, model_cache, request):
    path = file_of(name, model_cache, request)
    reference = create_session(path, "cpu", threads=1)
    session = create_session(path, "openvino", threads=1)
    assert session.provider == "openvino"
    assert session.input_shape == reference.input_shape
    assert list(session.output_shapes) == list(reference.output_shapes)
    assert [shape[-1] for shape in session.output_shapes.values()] == [
        shape[-1] for shape in reference.output_shapes.values()
    ]
    assert session.batch_size(16) == 1
    size = tuple(side or 96 for side in session.input_shape[2:])
    batch = noise((1, 3, *size))
    if name not in ("yunet", "sface"):  # the others leave scaling to their callers
        batch = (batch - 127.5) / 128
    for one, other in zip(session.run(batch), reference.run(batch), strict=True):
        assert one.dtype == np.float32
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("threads", [1, 2])
def test_runs_side_by_side_do_not_disturb_each_other(threads, model_cache):
    # Two sizes, so that requests change hands all the time.
    path = prepare_builtin(YUNET, model_cache)
    session = create_session(path, "openvino", threads)
    batches = [noise((1, 3, 64 + 32 * (seed % 2), 96), seed) for seed in range(40)]
    alone = [create_session(path, "openvino", 1).run(batch) for batch in batches[:2]]
    alone += [session.run(batch) for batch in batches[2:]]
    with ThreadPoolExecutor(5) as several:
        together = list(several.map(session.run, batches))
    for one, other in zip(alone, together, strict=True):
        for expected, found in zip(one, other, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_model_that_it_cannot_run_is_reported_as_an_error_of_the_model(model_cache):
    session = create_session(prepare_builtin(SFACE, model_cache), "openvino", threads=1)
    with pytest.raises(ModelError, match="cannot run"):
        session.run(noise((1, 2, 3, 4)))
    assert len(session.run(noise((1, 3, 112, 112)))) == 1  # and it goes on


def test_a_result_is_the_callers_own(model_cache):
    session = create_session(prepare_builtin(SFACE, model_cache), "openvino", 1)
    (first,) = session.run(noise((1, 3, 112, 112), 1))
    kept = first.copy()
    session.run(noise((1, 3, 112, 112), 2))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        (ALL_OPENVINO, "FECAPASS_MODELS__EXECUTION_PROVIDER"),
        (SPLIT, "FECAPASS_MODELS__EMBEDDER_PROVIDER"),
        ({"detector_provider": "openvino"}, "FECAPASS_MODELS__DETECTOR_PROVIDER"),
    ],
)
def test_without_the_extra_it_says_how_to_install_it(settings, variable, model_cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ProviderUnavailable) as caught:
        build_analyser(ModelSettings(cache_dir=model_cache, **settings))
    message = str(caught.value)
    assert f"{variable}=openvino" in message
    assert "install the package openvino" in message
    assert f"{variable}=cpu" in message


def test_each_model_runs_where_its_setting_says(model_cache):
    both = build_analyser(ModelSettings(cache_dir=model_cache, threads=2, **ALL_OPENVINO))
    assert (both.detector.provider, both.embedder.provider) == ("openvino", "openvino")
    assert (both.provider, both.lanes) == ("openvino", 2)
    split = build_analyser(ModelSettings(cache_dir=model_cache, threads=2, **SPLIT))
    assert (split.detector.provider, split.embedder.provider) == ("cpu", "openvino")
    assert (split.provider, split.lanes) == ("cpu+openvino", 2)


@pytest.mark.skipif(
    importlib.util.find_spec("openvino_telemetry") is None, reason="it is not installed"
)
def test_the_runtime_reports_nothing_to_its_maker(tmp_path, model_cache):
    # Recognised by the file in the home directory with the id under which it reports.
    code = (
        "import sys; from pathlib import Path; from ml.runtime.sessions import create_session;"
        "create_session(Path(sys.argv[1]), 'openvino', 1);"
        "import openvino, multiprocessing;"
        "print([m for m in sys.modules if m.startswith('openvino_telemetry.')],"
        " list(Path.home().iterdir()), 'openvino.tools.ovc' in sys.modules)"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "TF_BUILD")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(prepare_builtin(SFACE, model_cache))],
        env=environment | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["[]", "[]", "True"]
