"""Libraries out of pip packages are loaded before a provider needs them."""

import ctypes
import logging
import sys
from pathlib import Path

import onnxruntime
import pytest

from ml.runtime.gpu.gpu_libraries import load_libraries


@pytest.fixture
def loaded(monkeypatch):
    """What is loaded, by name; a file with the content "broken" does not load."""
    names = []

    def load(path, mode):
        assert mode == ctypes.RTLD_GLOBAL
        if Path(path).read_text() == "broken":
            raise OSError(f"{path}: invalid ELF header")
        names.append(Path(path).name)

    load_libraries.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda **_: names.append("cuda"))
    yield names
    load_libraries.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "tensorrt_libs"
    folder.mkdir()
    for name in ("libnvonnxparser.so.10", "libnvinfer.so.10", "libnvinfer_plugin.so.10"):
        (folder / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_tensorrt_is_loaded_in_the_order_of_its_dependencies_and_once(loaded, package):
    for _ in range(2):
        load_libraries(tensorrt=True)
    assert loaded == [
        "cuda", "libnvinfer.so.10", "libnvinfer_plugin.so.10", "libnvonnxparser.so.10",
    ]  # fmt: skip


def test_cuda_needs_no_tensorrt(loaded, package):
    load_libraries(tensorrt=False)
    assert loaded == ["cuda"]


def test_without_the_package_the_system_may_have_tensorrt(loaded):
    load_libraries(tensorrt=True)
    assert loaded == ["cuda"]


def test_a_library_that_does_not_load_is_a_warning(loaded, package, caplog, monkeypatch, capsys):
    (package / "libnvinfer_plugin.so.10").write_text("broken")

    def broken(**_):
        sys.stdout.write("Failed to load libcublas")
        raise RuntimeError("no CUDA")

    monkeypatch.setattr(onnxruntime, "preload_dlls", broken)
    with caplog.at_level(logging.WARNING):
        load_libraries(tensorrt=True)
    assert loaded == ["libnvinfer.so.10", "libnvonnxparser.so.10"]
    assert "no CUDA" in caplog.text
    assert "invalid ELF header" in caplog.text
    assert capsys.readouterr().out == ""
