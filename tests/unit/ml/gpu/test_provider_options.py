"""Options of GPU providers."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import ModelSettings
from ml.detection.letterbox import canvas_size, canvas_sizes
from ml.recognition.gpu_plans import gpu_plan, input_shapes
from ml.recognition.uprightness import SHEET_SIZE
from ml.runtime.gpu.provider_options import (
    CPU,
    CUDA,
    TENSORRT,
    GpuPlan,
    ModelInput,
    ShapeRange,
    asked,
    attempts,
    cuda_options,
    profile,
    tensorrt_options,
)
from ml.runtime.model_placement import Placement

FREE = ModelInput("data", (None, 3, None, None))
RANGE = ShapeRange((1, 3, 64, 96), (8, 3, 480, 640), (16, 3, 640, 640))
PLANS = st.builds(
    GpuPlan,
    memory_limit=st.none() | st.sampled_from([0, 1, 2**31]),
    convolution_search=st.none() | st.sampled_from(["heuristic", "exhaustive", "default"]),
    float16=st.booleans(),
    cache_dir=st.none() | st.just(Path("/cache")),
    shapes=st.none() | st.just(RANGE),
)


def test_cuda_searches_by_heuristic_in_a_bounded_arena():
    assert cuda_options(GpuPlan()) == {
        "cudnn_conv_algo_search": "HEURISTIC",
        "gpu_mem_limit": str(4 * 1024**3),
        "arena_extend_strategy": "kSameAsRequested",
    }
    assert cuda_options(GpuPlan(), only_asked=True) == {}


def test_settings_change_the_options_of_cuda():
    plan = GpuPlan(memory_limit=0, convolution_search="exhaustive")
    assert cuda_options(plan) == {"cudnn_conv_algo_search": "EXHAUSTIVE"}
    limited = cuda_options(GpuPlan(memory_limit=10**9), only_asked=True)
    assert limited == {"gpu_mem_limit": "1000000000", "arena_extend_strategy": "kSameAsRequested"}


def test_tensorrt_keeps_engines_and_timings_and_has_a_profile():
    plan = GpuPlan(float16=True, shapes=RANGE)
    assert tensorrt_options(plan, FREE, Path("/cache/release/model")) == {
        "trt_fp16_enable": "True",
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": "/cache/release/model",
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": "/cache/release",
        "trt_profile_min_shapes": "data:1x3x64x96",
        "trt_profile_opt_shapes": "data:8x3x480x640",
        "trt_profile_max_shapes": "data:16x3x640x640",
    }
    assert tensorrt_options(GpuPlan(), FREE, None) == {}


def test_a_profile_has_the_sides_that_the_file_fixes():
    assert profile(RANGE, ModelInput("data", (1, 3, 640, 640))) == {}
    assert profile(RANGE, ModelInput("data", (None, 3, 112, 112))) == {
        "trt_profile_min_shapes": "data:1x3x112x112",
        "trt_profile_opt_shapes": "data:8x3x112x112",
        "trt_profile_max_shapes": "data:16x3x112x112",
    }


@settings(max_examples=100)
@given(provider=st.sampled_from(["cuda", "tensorrt"]), plan=PLANS)
def test_each_attempt_has_what_is_asked_for_and_fewer_options_than_the_one_before(provider, plan):
    engines = plan.cache_dir and plan.cache_dir / "release" / "model"
    found = attempts(provider, plan, FREE, engines)
    first = TENSORRT if provider == "tensorrt" else CUDA
    counts = []
    for one in found:
        assert one.providers[0][0] == first
        assert one.providers[-1] == (CPU, {})
        options = {name: value for _, each in one.providers for name, value in each.items()}
        counts.append(len(options))
        if plan.convolution_search:
            assert options["cudnn_conv_algo_search"] == plan.convolution_search.upper()
        if plan.memory_limit:
            assert options["gpu_mem_limit"] == str(plan.memory_limit)
        if plan.float16 and provider == "tensorrt":
            assert options["trt_fp16_enable"] == "True"
    assert counts == sorted(set(counts), reverse=True)
    assert found[0].without == ""
    assert all(one.without for one in found[1:])
    named = len(asked(plan))
    assert named == sum(
        [plan.memory_limit is not None, bool(plan.convolution_search), plan.float16]
    )


@settings(max_examples=200, deadline=None)
@given(
    long_side=st.integers(64, 1024),
    height=st.integers(1, 1500),
    width=st.integers(1, 1500),
)
def test_every_canvas_is_within_the_shapes_of_the_detector(long_side, height, width):
    image = np.zeros((height, width, 3), np.uint8)
    size = canvas_size(image, long_side)
    assert size in canvas_sizes(long_side)
    shapes = input_shapes("detector", long_side)
    sheet = canvas_size(np.zeros((SHEET_SIZE[1], SHEET_SIZE[0], 3), np.uint8), max(SHEET_SIZE))
    for each in (size, sheet, shapes.usual[2:]):
        for least, side, most in zip(shapes.least[2:], each, shapes.most[2:], strict=True):
            assert least <= side <= most
    assert shapes.least[0] == 1 <= shapes.usual[0] <= shapes.most[0]


def test_a_plan_has_what_the_settings_say(tmp_path):
    asked_for = ModelSettings(
        cache_dir=tmp_path,
        gpu_memory_limit=5,
        gpu_convolution_search="default",
        gpu_io_binding=False,
    )
    plan = gpu_plan(asked_for, "embedder", Placement("tensorrt", "float16"))
    assert (plan.memory_limit, plan.convolution_search, plan.io_binding) == (5, "default", False)
    assert (plan.float16, plan.cache_dir) == (True, tmp_path)
    assert plan.shapes == input_shapes("embedder", 640)
    assert plan.shapes.most == (64, 3, 112, 112)


@pytest.mark.parametrize("setting", ["gpu_memory_limit", "gpu_streams"])
def test_a_negative_number_is_refused(setting):
    with pytest.raises(ValueError, match=setting):
        ModelSettings(**{setting: -1})
