"""Where models run, and in which precision: what was asked for, or an error that says why not."""

import errno
import logging
import os
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import ModelSettings
from domain.images.image_errors import ModelError, ProviderUnavailable
from ml.recognition.face_analyser import build_analyser
from ml.runtime import model_registry
from ml.runtime.model_placement import Machine, Placement, place, place_models
from ml.runtime.model_registry import SFACE, YUNET, prepare_builtin
from ml.runtime.sessions import create_session

BUILTIN = {"detector": YUNET.id, "embedder": SFACE.id}
ZEN4 = frozenset({"avx2", "avx512f", "avx512_bf16", "avx512_vnni"})
ICE_LAKE = frozenset({"avx2", "avx512f", "avx512_vnni"})
ALDER_LAKE = frozenset({"avx2", "avx_vnni"})
OLD = frozenset({"avx2"})

PROVIDERS = ("auto", "cpu", "openvino", "cuda", "tensorrt")
PRECISIONS = ("auto", "float32", "bfloat16", "int8")
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
    if found is None:
        assert precision in ("bfloat16", "int8")
        return
    assert provider in ("auto", found.provider)
    assert precision in ("auto", found.precision)
    if provider == "auto":
        assert found.provider == "cpu" or (found.provider == "openvino" and machine.openvino)
    if found.precision == "bfloat16":
        assert found.provider == "openvino"
        assert precision == "bfloat16" or "avx512_bf16" in machine.flags
    if found.precision == "int8":
        assert model == SFACE.id
        assert precision == "int8" or "avx512_vnni" in machine.flags


@given(role=st.sampled_from(["detector", "embedder"]), machine=machines)
def test_float32_runs_everywhere(role, machine):
    for provider in PROVIDERS:
        assert place(BUILTIN[role], provider, "float32", machine).precision == "float32"


@pytest.mark.parametrize(
    ("flags", "openvino", "expected"),
    [
        (ZEN4, True, Placement("openvino", "int8")),
        (ICE_LAKE, True, Placement("openvino", "int8")),
        (frozenset({"avx512_bf16"}), True, Placement("openvino", "bfloat16")),
        (ZEN4, False, Placement("cpu", "float32")),  # int8 is slower there
        (ALDER_LAKE, True, Placement("cpu", "float32")),  # not measured
        (OLD, True, Placement("cpu", "float32")),
        (frozenset(), True, Placement("cpu", "float32")),
    ],
)
def test_auto_is_the_fastest_that_was_measured_alike(flags, openvino, expected):
    assert place(SFACE.id, "auto", "auto", Machine(flags, openvino)) == expected
    assert place(SFACE.id, "cpu", "auto", Machine(flags, openvino)).precision == "float32"
    if openvino:
        named = place(SFACE.id, "openvino", "auto", Machine(flags, openvino))
        assert named == Placement("openvino", expected.precision)


@pytest.mark.parametrize("flags", [ALDER_LAKE, OLD, frozenset()])
def test_a_precision_by_name_prefers_openvino_also_where_it_was_not_measured(flags):
    for openvino, int8 in ((True, "openvino"), (False, "cpu")):
        machine = Machine(flags, openvino)
        assert place(SFACE.id, "auto", "int8", machine) == Placement(int8, "int8")
        assert place(SFACE.id, "auto", "float32", machine) == Placement("cpu", "float32")
    assert place(SFACE.id, "auto", "float32", Machine(ZEN4, openvino=True)).provider == "openvino"


def test_auto_leaves_to_onnxruntime_what_was_not_measured():
    for model in (YUNET.id, "arcface", "scrfd"):
        best = Machine(ZEN4, openvino=True)
        assert place(model, "auto", "auto", best) == Placement("cpu", "float32")


def test_the_precision_of_all_models_is_for_those_that_can():
    split = {"detector_provider": "cpu", "embedder_provider": "openvino"}
    assert placed(precision="bfloat16", **split) == {
        "detector": Placement("cpu", "float32"),
        "embedder": Placement("openvino", "bfloat16"),
    }
    assert placed(precision="int8", execution_provider="cpu") == {
        "detector": Placement("cpu", "float32"),
        "embedder": Placement("cpu", "int8"),
    }


def broken_import(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)


def broken_core(monkeypatch):
    def no_core():
        raise RuntimeError("no plugins")

    monkeypatch.setattr("openvino.Core", no_core)


def broken(method):
    def apply(monkeypatch):
        import openvino

        def fail(*_asked):
            raise RuntimeError(f"no {method}")

        monkeypatch.setattr(openvino, "Core", type("Core", (openvino.Core,), {method: fail}))

    return apply


def read_only_cache(monkeypatch):
    def refuse(_target, _content):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(model_registry, "_write_for_all", refuse)


@pytest.fixture(
    params=[
        (broken_import, "cannot be imported"),
        (broken_core, "no plugins"),
        (broken("read_model"), "no read_model"),
        (broken("compile_model"), "no compile_model"),
        (read_only_cache, "Read-only file system"),
    ],
    ids=["import", "start", "load", "compile", "cache"],
)
def without_openvino(request, monkeypatch, tmp_path):
    """OpenVINO is installed and does not work, and the cache holds the models in float32 only."""
    for model in (YUNET, SFACE):
        prepare_builtin(model, tmp_path)
    monkeypatch.setattr(Machine, "this", lambda: Machine(ZEN4, openvino=True))
    apply, reason = request.param
    apply(monkeypatch)
    return tmp_path, reason


def test_auto_runs_in_onnxruntime_where_openvino_does_not_work(without_openvino, caplog):
    cache, reason = without_openvino
    analyser = build_analyser(ModelSettings(cache_dir=cache, threads=1))
    assert (analyser.provider, analyser.precision) == ("cpu", "float32")
    (warning,) = (one for one in caplog.records if one.levelno == logging.WARNING)
    assert "OpenVINO is not used" in warning.getMessage()
    assert reason in warning.getMessage()


def test_openvino_by_name_is_an_error_where_it_does_not_work(without_openvino):
    cache, reason = without_openvino
    with pytest.raises(ModelError, match=reason):
        build_analyser(ModelSettings(cache_dir=cache, threads=1, embedder_provider="openvino"))


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
            ["FECAPASS_MODELS__PRECISION=bfloat16", "provider cpu", "float32 or int8"],
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
    ],
)
def test_what_cannot_run_is_an_error_that_says_why(settings, words, model_cache):
    with pytest.raises(ModelError) as caught:
        build_analyser(ModelSettings(cache_dir=model_cache, **settings))
    for word in words:
        assert word in str(caught.value)


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
