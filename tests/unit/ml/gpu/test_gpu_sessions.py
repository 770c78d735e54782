"""Sessions on a GPU start with the options that work, and refuse those that were asked for."""

import logging
import os
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.settings import ModelSettings
from domain.images.image_errors import ModelError, ProviderUnavailable
from ml.recognition.face_analyser import build_analyser
from ml.recognition.gpu_plans import input_shapes
from ml.runtime.gpu.engine_cache import engine_folder
from ml.runtime.gpu.provider_options import CUDA, TENSORRT, GpuPlan, ShapeRange
from ml.runtime.model_registry import SFACE, YUNET, prepare_builtin
from ml.runtime.sessions import create_session

#: Few and small pictures, which a CPU runs fast.
SMALL = ShapeRange((1, 3, 32, 32), (4, 3, 32, 32), (8, 3, 64, 64))
OPTIONAL = [
    "cudnn_conv_algo_search", "gpu_mem_limit", "arena_extend_strategy", "trt_engine_cache_enable",
    "trt_engine_cache_path", "trt_timing_cache_enable", "trt_profile_min_shapes",
]  # fmt: skip


@pytest.fixture(scope="module")
def yunet_file(model_cache):
    return prepare_builtin(YUNET, model_cache)


def plan_for(cache, **changes):
    return GpuPlan(cache_dir=cache, shapes=SMALL, **changes)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(broken=st.sets(st.sampled_from(OPTIONAL)), provider=st.sampled_from(["cuda", "tensorrt"]))
def test_whatever_optional_option_is_broken_the_session_runs_with_one_warning(
    gpu, yunet_file, tmp_path, caplog, broken, provider
):
    gpu.broken, gpu.started = dict.fromkeys(broken), []
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        session = create_session(yunet_file, provider, 1, plan=plan_for(tmp_path))
    assert session.provider == provider
    assert len(session.run(np.zeros((1, 3, 64, 64), np.float32))) == 12
    hit = {name for each in gpu.started[0].values() for name in each} & broken
    warnings = [
        one
        for one in caplog.records
        if "without" in one.getMessage() and "pinned" not in one.getMessage()
    ]
    assert len(warnings) == bool(hit)
    assert (len(gpu.started) > 1) == bool(hit)
    if hit:
        assert "is broken" in warnings[0].getMessage()


@pytest.mark.parametrize(
    ("changes", "broken", "named"),
    [
        ({"memory_limit": 77}, "gpu_mem_limit", "GPU_MEMORY_LIMIT=77"),
        (
            {"convolution_search": "exhaustive"},
            "cudnn_conv_algo_search",
            "GPU_CONVOLUTION_SEARCH=exhaustive",
        ),
        ({"float16": True}, "trt_fp16_enable", "precision=float16"),
    ],
)
def test_a_broken_option_that_a_setting_names_is_refused(
    gpu, yunet_file, tmp_path, changes, broken, named
):
    gpu.broken = {broken: None}
    with pytest.raises(ProviderUnavailable, match=f"{broken} is broken") as caught:
        create_session(yunet_file, "tensorrt", 1, plan=plan_for(tmp_path, **changes))
    assert named in str(caught.value)
    assert "FECAPASS_MODELS__EXECUTION_PROVIDER=tensorrt" in str(caught.value)


@pytest.mark.parametrize(("provider", "absent"), [("cuda", CUDA), ("tensorrt", TENSORRT)])
def test_a_gpu_that_does_not_start_is_refused(gpu, yunet_file, tmp_path, provider, absent):
    gpu.absent = {absent}
    with pytest.raises(ProviderUnavailable, match="the session runs on"):
        create_session(yunet_file, provider, 1, plan=plan_for(tmp_path))


def fail_above(gpu, size, monkeypatch):
    """Sessions have no memory for larger batches, as long as the arena has a limit."""
    real = gpu.start

    def start(*arguments, **options):
        session = real(*arguments, **options)
        limited = any("gpu_mem_limit" in each for _, each in options["providers"])
        run = session.run

        def checked(names, given):
            if limited and len(next(iter(given.values()))) > size:
                raise RuntimeError("Failed to allocate memory")
            return run(names, given)

        session.run = checked
        return session

    monkeypatch.setattr("onnxruntime.InferenceSession", start)


def test_a_limit_that_is_too_low_is_left_out_unless_a_setting_names_it(
    gpu, yunet_file, tmp_path, monkeypatch, caplog
):
    fail_above(gpu, 4, monkeypatch)
    with caplog.at_level(logging.WARNING):
        create_session(yunet_file, "cuda", 1, plan=plan_for(tmp_path, io_binding=False))
    assert "Failed to allocate memory" in caplog.text
    assert "without a memory limit" in caplog.text
    with pytest.raises(ProviderUnavailable, match="GPU_MEMORY_LIMIT=9"):
        create_session(
            yunet_file, "cuda", 1, plan=plan_for(tmp_path, io_binding=False, memory_limit=9)
        )


def test_a_file_that_is_no_model_is_an_error_of_the_file(gpu, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"cannot load the model .*model\.onnx"):
        create_session(path, "cuda", 1, plan=plan_for(tmp_path))
    assert not gpu.started


def test_the_greatest_shape_is_run_at_the_start(gpu, model_cache, tmp_path, monkeypatch):
    seen = []
    real = gpu.start

    def start(*arguments, **options):
        session = real(*arguments, **options)
        run = session.run
        session.run = lambda names, given: (
            seen.append(next(iter(given.values())).shape) or run(names, given)
        )
        return session

    monkeypatch.setattr("onnxruntime.InferenceSession", start)
    plan = GpuPlan(shapes=input_shapes("embedder", 640), io_binding=False)
    path = prepare_builtin(SFACE, model_cache)
    assert create_session(path, "cuda", 1, plan=plan).batch_size(40) == 40
    assert seen == [(64, 3, 112, 112)]


def test_an_analyser_on_a_gpu_has_lanes_for_its_streams_and_says_how_it_runs(
    gpu, model_cache, shared, monkeypatch
):
    # The greatest batches take seconds on a CPU.
    monkeypatch.setattr("ml.recognition.gpu_plans.MAX_PICTURES", 1)
    monkeypatch.setattr("ml.recognition.gpu_plans.MAX_FACES", 1)
    asked = ModelSettings(
        cache_dir=model_cache, execution_provider="tensorrt", precision="float16", gpu_streams=3
    )
    analyser = build_analyser(asked)
    assert (analyser.lanes, analyser.provider, analyser.precision) == (3, "tensorrt", "float16")
    assert analyser.embedder.id == SFACE.id
    assert analyser.embedder.trusted_length == np.inf  # not measured
    for one in gpu.started:
        assert one[TENSORRT]["trt_fp16_enable"] == "True"
        assert one[TENSORRT]["trt_engine_cache_path"].startswith(str(model_cache))
    for one, other in pairwise(gpu.started):
        assert one[TENSORRT]["trt_engine_cache_path"] != other[TENSORRT]["trt_engine_cache_path"]
    image = np.zeros((480, 640, 3), np.uint8)
    assert analyser.analyse([image, image]) == [[], []]


def test_engines_of_a_model_and_a_release_have_a_folder_of_their_own(tmp_path):
    folders = {
        engine_folder(tmp_path, sha256, release)
        for sha256 in ("a" * 64, "b" * 64)
        for release in ("1", "2")
    }
    assert len(folders) == 4
    for folder in folders:
        assert folder.is_dir()
        assert folder.stat().st_mode & 0o077 == 0  # an engine is code
        assert tmp_path in folder.parents


def test_engines_are_not_kept_where_nothing_can_be_written(tmp_path, caplog, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    with caplog.at_level(logging.WARNING):
        assert engine_folder(file, "a" * 64, "1") is None
        monkeypatch.setattr(os, "access", lambda *_: False)
        assert engine_folder(tmp_path, "a" * 64, "1") is None
    assert len(caplog.records) == 2
    assert "FECAPASS_MODELS__CACHE_DIR" in caplog.text
