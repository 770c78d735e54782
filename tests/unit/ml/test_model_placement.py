"""Where models run, and in which precision: what was asked for, or an error that says why not."""

import errno
import logging
import os
import sys
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import ModelSettings
from domain.images.image_errors import ModelError, ProviderUnavailable
from ml.recognition.face_analyser import build_analyser
from ml.runtime import model_registry
from ml.runtime.model_placement import (
    Machine,
    Placement,
    place,
    place_models,
    processor_flags,
)
from ml.runtime.model_registry import SFACE, YUNET, prepare_builtin
from ml.runtime.sessions import create_session

BUILTIN = {"detector": YUNET.id, "embedder": SFACE.id}
ZEN4 = frozenset({"avx2", "avx512f", "avx512_bf16", "avx512_vnni"})
ICE_LAKE = frozenset({"avx2", "avx512f", "avx512_vnni"})
ALDER_LAKE = frozenset({"avx2", "avx_vnni"})
OLD = frozenset({"avx2"})

PROVIDERS = ("auto", "cpu", "openvino", "cuda", "tensorrt")
PRECISIONS = ("auto", "float32", "float16", "bfloat16", "int8")
machines = st.builds(Machine, st.sampled_from([ZEN4, ICE_LAKE, ALDER_LAKE, OLD]), st.booleans())


def placed(machine=None, **settings):
    return place_models(ModelSettings(**settings), BUILTIN, machine or Machine(ZEN4, openvino=True))


@given(
    model=st.sampled_from([YUNET.id, SFACE.id, "arcface", "scrfd"]),
    provider=st.sampled_from(PROVIDERS),
    precision=st.sampled_from(PRECISIONS),
    machine=machines,
)
def test_what_is_asked_for_by_name_is_what_one_gets(model, provider, precision, machine):
    found = place(model, provider, precision, machine)
    assert found or precision in ("float16", "bfloat16", "int8")
    assert len(set(found)) == len(found)
    for way in found:
        assert provider in ("auto", way.provider)
        assert precision in ("auto", way.precision)
        if provider == "auto":
            assert way.provider == "cpu" or (way.provider == "openvino" and machine.openvino)
        if way.precision == "bfloat16":
            assert way.provider == "openvino"
            assert precision == "bfloat16" or "avx512_bf16" in machine.flags
        if way.precision == "int8":
            assert (model, way.provider) == (SFACE.id, "openvino")
            assert "avx512_vnni" in machine.flags or (
                precision == "int8" and "avx_vnni" in machine.flags
            )


@given(role=st.sampled_from(["detector", "embedder"]), machine=machines)
def test_float32_runs_everywhere(role, machine):
    for provider in PROVIDERS:
        ways = place(BUILTIN[role], provider, "float32", machine)
        assert {way.precision for way in ways} == {"float32"}


@pytest.mark.parametrize(
    ("flags", "openvino", "expected"),
    [
        (ZEN4, True, Placement("openvino", "int8")),
        (ICE_LAKE, True, Placement("openvino", "int8")),
        (frozenset({"avx512_bf16"}), True, Placement("openvino", "bfloat16")),
        (ZEN4, False, Placement("cpu", "float32")),  # int8 is slower there
        (ALDER_LAKE, True, Placement("openvino", "float32")),  # int8 was not measured
        (OLD, True, Placement("openvino", "float32")),
        (OLD, False, Placement("cpu", "float32")),
        (frozenset(), True, Placement("cpu", "float32")),
    ],
)
def test_auto_is_the_fastest_that_was_measured_alike(flags, openvino, expected):
    machine = Machine(flags, openvino)
    assert place(SFACE.id, "auto", "auto", machine)[0] == expected
    assert place(SFACE.id, "cpu", "auto", machine) == [Placement("cpu", "float32")]
    if openvino:
        named = place(SFACE.id, "openvino", "auto", machine)
        measured = expected.precision if expected.provider == "openvino" else "float32"
        assert named[0] == Placement("openvino", measured)


def test_slower_ways_follow_for_a_machine_where_the_fastest_does_not_work():
    ways = [Placement("openvino", one) for one in ("int8", "bfloat16", "float32")]
    onnxruntime = Placement("cpu", "float32")
    zen4 = Machine(ZEN4, openvino=True)
    assert place(SFACE.id, "auto", "auto", zen4) == [*ways, onnxruntime]
    assert place(SFACE.id, "openvino", "auto", zen4) == ways
    assert place(SFACE.id, "auto", "float32", zen4) == [ways[2], onnxruntime]
    assert place(SFACE.id, "auto", "int8", zen4) == ways[:1]
    assert place(SFACE.id, "auto", "auto", Machine(ICE_LAKE, openvino=True)) == [
        ways[0],
        ways[2],
        onnxruntime,
    ]


@pytest.mark.parametrize("flags", [ALDER_LAKE, OLD, frozenset()])
def test_a_precision_by_name_is_openvinos_also_where_it_was_not_measured(flags):
    machine = Machine(flags, openvino=True)
    assert place(SFACE.id, "auto", "bfloat16", machine) == [Placement("openvino", "bfloat16")]
    measured = [Placement("openvino", "float32")] if flags else []
    assert place(SFACE.id, "auto", "float32", machine) == [*measured, Placement("cpu", "float32")]


def test_int8_needs_a_processor_that_does_not_saturate():
    int8 = [Placement("openvino", "int8")]
    for provider in ("auto", "openvino"):
        assert place(SFACE.id, provider, "int8", Machine(ALDER_LAKE, openvino=True)) == int8
        assert place(SFACE.id, provider, "int8", Machine(OLD, openvino=True)) == []
    with pytest.raises(ModelError, match="PRECISION=int8: this processor has neither AVX-512 VNNI"):
        placed(Machine(OLD, openvino=True), precision="int8")


def test_auto_leaves_to_onnxruntime_what_was_not_measured():
    for model in (YUNET.id, "arcface", "scrfd"):
        best = Machine(ZEN4, openvino=True)
        assert place(model, "auto", "auto", best) == [Placement("cpu", "float32")]


def test_the_precision_of_all_models_is_for_those_that_can():
    split = {"detector_provider": "cpu", "embedder_provider": "openvino"}
    assert placed(precision="bfloat16", **split) == {
        "detector": [Placement("cpu", "float32")],
        "embedder": [Placement("openvino", "bfloat16")],
    }
    assert placed(precision="int8") == {
        "detector": [Placement("cpu", "float32")],
        "embedder": [Placement("openvino", "int8")],
    }


X86 = """processor\t: 0
vendor_id\t: AuthenticAMD
flags\t\t: fpu avx2 avx512f avx512_vnni
bugs\t\t: sysret_ss_attrs

processor\t: 1
flags\t\t: fpu
"""
ARM = """processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd asimddp bf16 i8mm
"""


@pytest.mark.parametrize(
    ("text", "flags"),
    [(X86, {"fpu", "avx2", "avx512f", "avx512_vnni"}), (ARM, set()), ("", set()), (None, set())],
)
def test_the_features_of_the_processor_are_those_that_linux_lists(text, flags, tmp_path):
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_text(text)
    assert processor_flags(path) == flags


def test_the_features_of_this_processor_are_read():
    """Else all tests of int8 and bfloat16 would be skipped."""
    import openvino

    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert Machine.this().flags


def broken_import(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)


def broken_core(monkeypatch):
    def no_core():
        raise RuntimeError("no plugins")

    monkeypatch.setattr("openvino.Core", no_core)


def left_over_folder(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", ModuleType("openvino"))


def broken(method):
    def apply(monkeypatch):
        import openvino

        def fail(*_asked):
            raise RuntimeError(f"no {method}")

        monkeypatch.setattr(openvino, "Core", type("Core", (openvino.Core,), {method: fail}))

    return apply


@pytest.fixture(
    params=[
        (broken_import, "cannot be imported"),
        (broken_core, "no plugins"),
        (left_over_folder, "no attribute 'Core'"),
        (broken("get_property"), "no get_property"),
        (broken("read_model"), "no read_model"),
        (broken("compile_model"), "no compile_model"),
    ],
    ids=["import", "start", "left-over", "property", "load", "compile"],
)
def without_openvino(request, monkeypatch):
    """OpenVINO is installed and does not work."""
    monkeypatch.setattr(Machine, "this", lambda: Machine(ZEN4, openvino=True))
    apply, reason = request.param
    apply(monkeypatch)
    return reason


def warning_of(caplog):
    (warning,) = (one for one in caplog.records if one.levelno == logging.WARNING)
    return warning.getMessage()


def test_auto_runs_in_onnxruntime_where_openvino_does_not_work(
    without_openvino, model_cache, caplog
):
    analyser = build_analyser(ModelSettings(cache_dir=model_cache, threads=1))
    assert (analyser.provider, analyser.precision) == ("cpu", "float32")
    assert "runs in float32 on the provider cpu" in warning_of(caplog)
    assert without_openvino in warning_of(caplog)


def test_openvino_by_name_is_an_error_where_it_does_not_work(without_openvino, model_cache):
    settings = ModelSettings(cache_dir=model_cache, threads=1, embedder_provider="openvino")
    with pytest.raises(ModelError, match=without_openvino):
        build_analyser(settings)


@pytest.fixture
def without_int8_file(monkeypatch, tmp_path):
    """A read-only cache that an older release filled, on a processor with VNNI alone."""

    def refuse(_target, _content):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for model in (YUNET, SFACE):
        prepare_builtin(model, tmp_path)
    monkeypatch.setattr(Machine, "this", lambda: Machine(ICE_LAKE, openvino=True))
    monkeypatch.setattr(model_registry, "write_for_all", refuse)
    return tmp_path


@pytest.mark.parametrize("provider", ["auto", "openvino"])
def test_openvino_runs_in_float32_where_the_int8_file_cannot_be_written(
    provider, without_int8_file, caplog
):
    settings = ModelSettings(cache_dir=without_int8_file, threads=1, embedder_provider=provider)
    analyser = build_analyser(settings)
    assert (analyser.embedder.provider, analyser.precision) == ("openvino", "float32")
    assert "runs in float32 on the provider openvino" in warning_of(caplog)
    assert "Read-only file system" in warning_of(caplog)


def test_the_error_is_that_of_the_fastest_way_where_none_works(without_int8_file, monkeypatch):
    broken("compile_model")(monkeypatch)
    settings = ModelSettings(cache_dir=without_int8_file, threads=1, embedder_provider="openvino")
    with pytest.raises(ModelError, match="Read-only file system"):
        build_analyser(settings)


def test_int8_by_name_is_an_error_where_its_file_cannot_be_written(without_int8_file):
    settings = ModelSettings(cache_dir=without_int8_file, threads=1, precision="int8")
    with pytest.raises(ModelError, match="Read-only file system"):
        build_analyser(settings)


def test_a_precision_that_needs_openvino_is_an_error_where_it_does_not_work(
    model_cache, monkeypatch
):
    monkeypatch.setattr(Machine, "this", lambda: Machine(ZEN4, openvino=True))
    broken_import(monkeypatch)
    with pytest.raises(ModelError, match="cannot be imported"):
        build_analyser(ModelSettings(cache_dir=model_cache, embedder_precision="bfloat16"))


def test_an_error_of_another_model_is_not_openvinos(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(Machine, "this", lambda: Machine(ZEN4, openvino=True))
    settings = ModelSettings(cache_dir=tmp_path, detector="scrfd", detector_file=tmp_path / "none")
    with pytest.raises(ModelError, match="cannot read the model file"):
        build_analyser(settings)
    assert not caplog.records


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"execution_provider": "cpu", "precision": "bfloat16"},
            ["FECAPASS_MODELS__PRECISION=bfloat16", "provider cpu", "in float32"],
        ),
        (
            {"execution_provider": "cuda", "embedder_precision": "int8"},
            ["FECAPASS_MODELS__EMBEDDER_PRECISION=int8", "provider cuda", "float32"],
        ),
        (
            {"detector_precision": "int8"},
            ["FECAPASS_MODELS__DETECTOR_PRECISION=int8", "yunet-2023mar has no int8 form"],
        ),
        (
            {"detector_provider": "cpu", "detector_precision": "bfloat16"},
            ["FECAPASS_MODELS__DETECTOR_PRECISION=bfloat16", "provider cpu"],
        ),
        (
            {"precision": "float16"},
            ["FECAPASS_MODELS__PRECISION=float16", "only the provider tensorrt"],
        ),
    ],
)
def test_what_cannot_run_is_an_error_that_says_why(settings, words, model_cache):
    with pytest.raises(ModelError) as caught:
        build_analyser(ModelSettings(cache_dir=model_cache, **settings))
    for word in words:
        assert word in str(caught.value)


def test_only_tensorrt_computes_in_float16_and_only_if_a_setting_says_so():
    machine = Machine(ZEN4, openvino=True)
    half = [Placement("tensorrt", "float16")]
    assert place(SFACE.id, "tensorrt", "float16", machine) == half
    assert place(SFACE.id, "tensorrt", "auto", machine) == [Placement("tensorrt", "float32")]
    for provider in ("auto", "cpu", "openvino", "cuda"):
        assert place(SFACE.id, provider, "float16", machine) == []


def test_bfloat16_without_openvino_is_an_error_that_names_it():
    with pytest.raises(ModelError, match="OpenVINO, which is not installed"):
        placed(
            Machine(ZEN4, openvino=False), execution_provider="auto", embedder_precision="bfloat16"
        )


def test_a_processor_without_bfloat16_is_an_error_that_says_so(model_cache, monkeypatch):
    import openvino

    class Older(openvino.Core):
        def get_property(self, *asked):
            found = super().get_property(*asked)
            return [one for one in found if one != "BF16"] if "CAPABILITIES" in asked[1] else found

    monkeypatch.setattr(openvino, "Core", Older)
    path = prepare_builtin(SFACE, model_cache)
    with pytest.raises(ProviderUnavailable, match="AVX-512 BF16"):
        create_session(path, "openvino", 1, bfloat16=True)
    (embedding,) = create_session(path, "openvino", 1).run(np.zeros((1, 3, 112, 112), np.float32))
    assert embedding.shape == (1, 128)


def test_onnxruntime_has_no_bfloat16(model_cache):
    with pytest.raises(ProviderUnavailable, match="cpu does not compute in bfloat16"):
        create_session(prepare_builtin(SFACE, model_cache), "cpu", 1, bfloat16=True)
