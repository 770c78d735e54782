import dataclasses
import multiprocessing
import os
import shutil

import pytest

from config.settings import ModelSettings
from domain.decisions.matching import MatchPolicy
from domain.images.image_errors import ModelError
from ml.runtime import model_registry
from ml.runtime.model_registry import YUNET, check_file, embedder_id, match_policy, prepare_builtin


def prepare_in(cache):
    return str(prepare_builtin(YUNET, cache))


def test_prepared_once_and_found_again(tmp_path, monkeypatch):
    path = prepare_builtin(YUNET, tmp_path)
    monkeypatch.setattr(model_registry, "_locate", lambda _: pytest.fail("prepared again"))
    assert prepare_builtin(YUNET, tmp_path) == path
    assert [entry for entry in path.parent.iterdir() if entry != path] == []


def test_readable_by_other_users(tmp_path):
    before = os.umask(0o077)
    try:
        path = prepare_builtin(YUNET, tmp_path / "cache")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.parent.stat().st_mode & 0o777 == 0o755
    assert path.parent.parent.stat().st_mode & 0o777 == 0o755


def test_a_damaged_copy_is_created_again(tmp_path):
    path = prepare_builtin(YUNET, tmp_path)
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"\0")
    assert prepare_builtin(YUNET, tmp_path) == path
    assert path.read_bytes() == good


def test_processes_may_prepare_at_once(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        paths = pool.map(prepare_in, [tmp_path] * 4)
    assert len(set(paths)) == 1
    assert [str(entry) for entry in (tmp_path / "models").iterdir()] == paths[:1]


def test_an_altered_source_is_refused(tmp_path, monkeypatch):
    altered = tmp_path / "altered.onnx"
    shutil.copy(model_registry._locate(YUNET), altered)
    altered.chmod(0o644)
    with altered.open("ab") as file:
        file.write(b"\0")
    monkeypatch.setattr(model_registry, "_locate", lambda _: altered)
    with pytest.raises(ModelError, match="SHA-256"):
        prepare_builtin(YUNET, tmp_path / "cache")


def test_a_missing_package_is_named(tmp_path):
    missing = dataclasses.replace(YUNET, package="no_such_package_of_models")
    with pytest.raises(ModelError, match="no_such_package_of_models"):
        prepare_builtin(missing, tmp_path)


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "models").write_text("a file where the directory should be")
    with pytest.raises(ModelError, match="FECAPASS_MODELS__CACHE_DIR"):
        prepare_builtin(YUNET, tmp_path)


def test_user_files_are_checked(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights")
    sha256 = "f5eea2779bbaab6dd6004c0be7e1393c1df5b4acf8ed2bb1b0f8f9ba0eb0a4b4"
    _, actual = check_file(path, None, "embedder")
    assert check_file(path, actual.upper(), "embedder") == (path, actual)
    with pytest.raises(ModelError, match="SHA-256"):
        check_file(path, sha256, "embedder")
    with pytest.raises(ModelError, match="FECAPASS_MODELS__DETECTOR_FILE"):
        check_file(None, None, "detector")
    with pytest.raises(ModelError, match="cannot read"):
        check_file(tmp_path / "absent.onnx", None, "detector")


def test_other_weights_have_another_id(tmp_path):
    ids = set()
    for content in (b"one", b"two"):
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        settings = ModelSettings(embedder="arcface", embedder_file=path)
        ids.add(embedder_id(settings))
        known = ModelSettings(embedder="arcface", embedder_sha256=model_registry.sha256_of(path))
        assert embedder_id(known) in ids
    assert len(ids) == 2
    assert embedder_id(ModelSettings()) == "sface-2021dec"
    with pytest.raises(ModelError, match="FECAPASS_MODELS__EMBEDDER_FILE"):
        embedder_id(ModelSettings(embedder="arcface"))


def test_the_mirror_image_makes_another_model_of_every_embedder(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"one")
    for own in ({}, {"embedder": "arcface", "embedder_file": path}):
        plain, mirror = (ModelSettings(embedder_mirror=each, **own) for each in (False, True))
        assert embedder_id(mirror) == f"{embedder_id(plain)}-mirror"
        assert match_policy(embedder_id(mirror), mirror) == match_policy(embedder_id(plain), plain)


def test_policy_comes_from_the_settings_else_from_the_model():
    default = match_policy("sface-2021dec", ModelSettings())
    assert 0.4 <= default.threshold <= 0.5
    assert match_policy("arcface-00000000", ModelSettings()).threshold > default.threshold
    settings = ModelSettings(match_threshold=0.0, match_margin=0.0)
    assert match_policy("sface-2021dec", settings) == MatchPolicy(0.0, 0.0)


def test_a_wanted_fpir_raises_the_threshold_of_large_galleries():
    settings = ModelSettings(match_wanted_fpir=0.01, match_impostor_tail=(0.1, 0.08))
    policy = match_policy("sface-2021dec", settings)
    default = match_policy("sface-2021dec", ModelSettings())
    assert policy.in_gallery(3) == default
    assert policy.in_gallery(100_000).threshold > 0.5
