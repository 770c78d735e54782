import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import ConfigurationError, DetectSettings, ModelSettings, load_settings
from domain.images.image_errors import ModelError
from ml.recognition.alignment import align
from ml.recognition.embedders import (
    MAX_BATCH,
    UNCHANGED,
    ArcFaceEmbedder,
    Preprocessing,
    Runs,
)
from ml.recognition.face_analyser import build_analyser
from ml.runtime import model_registry
from ml.runtime.model_placement import Machine
from ml.runtime.onnxruntime_sessions import OnnxruntimeSession
from ml.runtime.openvino_sessions import OpenvinoSession
from ml.runtime.sessions import create_session
from tests.unit.ml.conftest import read, skip_without

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_DEVIATION = (58.395, 57.12, 57.375)


@pytest.fixture(scope="module")
def aligned(analyser, shared):
    """Two pictures each of six people, in adjacent places."""
    paths = sorted((shared / "data/faces/portraits/pair").glob("*.jpg"))[:12]
    images = [read(path) for path in paths]
    found = analyser.detector.detect(images)
    return [align(image, faces.landmarks[0]) for image, faces in zip(images, found, strict=True)]


def check_people_apart(embeddings, genuine, impostor):
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert embeddings.dtype == np.float32
    cosines = embeddings @ embeddings.T
    assert min(cosines[i, i + 1] for i in range(0, len(cosines), 2)) > genuine
    others = cosines[np.arange(len(cosines))[:, None] // 2 != np.arange(len(cosines)) // 2]
    assert others.max() < impostor


def test_sface_distinguishes_people(analyser, aligned):
    assert analyser.embedder.id == "sface-2021dec"
    assert analyser.embedder.dimension == 128
    check_people_apart(analyser.embedder.embed(aligned), genuine=0.5, impostor=0.4)


def test_an_arcface_file_with_its_own_preprocessing(shared, aligned, model_cache):
    path = shared / "models/mobilefacenet.onnx"
    settings = ModelSettings(
        embedder="arcface",
        embedder_file=path,
        embedder_mean=IMAGENET_MEAN,
        embedder_deviation=IMAGENET_DEVIATION,
        cache_dir=model_cache,
    )
    embedder = build_analyser(settings).embedder
    assert embedder.id == model_registry.embedder_id(settings) != model_registry.SFACE.id
    assert embedder.dimension == 128
    check_people_apart(embedder.embed(aligned), genuine=0.45, impostor=0.45)


def test_preprocessing_is_by_channel(shared, aligned):
    session = create_session(shared / "models/mobilefacenet.onnx", "cpu", 0)
    right = ArcFaceEmbedder(session, "m", Preprocessing(IMAGENET_MEAN, IMAGENET_DEVIATION))
    rgb = aligned[0][:, :, ::-1].astype(np.float32)
    by_hand = ((rgb - IMAGENET_MEAN) / IMAGENET_DEVIATION).transpose(2, 0, 1)[None]
    (expected,) = session.run(np.ascontiguousarray(by_hand, np.float32))
    expected = expected[0] / np.linalg.norm(expected)
    np.testing.assert_allclose(right.embed(aligned[:1])[0], expected, atol=1e-5)


class Sums:
    """A model that sums up each channel, on a runtime with batches of its own size."""

    provider = "openvino"
    input_shape = (None, 3, 112, 112)
    output_shapes: ClassVar = {"sums": (None, 3)}

    def __init__(self, batch_size):
        self.batch_size = batch_size
        self.sizes = []

    def run(self, batch):
        self.sizes.append(len(batch))
        return [batch.sum(axis=(2, 3))]


OF_RUNTIMES = {
    "openvino": (OpenvinoSession.batch_size, {1, 4}),
    "cuda": (OnnxruntimeSession.batch_size, range(1, MAX_BATCH + 1)),
    "cpu": (OnnxruntimeSession.batch_size, {1}),
}


@settings(max_examples=30, deadline=None)
@given(count=st.integers(0, 9), runtime=st.sampled_from([*OF_RUNTIMES]))
def test_runs_have_sizes_of_the_runtime_and_keep_the_order(count, runtime):
    batch_size, allowed = OF_RUNTIMES[runtime]
    of = SimpleNamespace(input_shape=(None,), provider=runtime)
    session = Sums(partial(batch_size, of))
    faces = [np.full((112, 112, 3), number, np.uint8) for number in range(count)]
    found = ArcFaceEmbedder(session, "sums", UNCHANGED, runs=Runs(full_batch=4)).raw(faces)
    assert found.shape == (count, 3)
    assert found[:, 0].tolist() == [112 * 112 * number for number in range(count)]
    assert sum(session.sizes) == count
    assert set(session.sizes) <= set(allowed)
    if runtime == "openvino":
        assert session.sizes.count(4) == count // 4


class Waiting(Sums):
    """A model whose runs wait until so many are running, or for half a second."""

    def __init__(self, expected):
        super().__init__(lambda *_sizes: 1)
        self.all_running = threading.Barrier(expected)
        self.lock, self.running, self.most = threading.Lock(), 0, 0

    def run(self, batch):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        with suppress(threading.BrokenBarrierError):
            self.all_running.wait(0.5)
        with self.lock:
            self.running -= 1
        return super().run(batch)


@pytest.mark.parametrize(("at_once", "expected"), [(3, 3), (None, 8)])
def test_so_many_runs_at_once_as_allowed(at_once, expected):
    lanes = 8
    session = Waiting(expected)
    embedder = ArcFaceEmbedder(session, "sums", UNCHANGED, runs=Runs(at_once=at_once))
    faces = [np.full((112, 112, 3), number, np.uint8) for number in range(lanes)]
    with ThreadPoolExecutor(lanes) as threads:
        found = list(threads.map(lambda face: embedder.raw([face])[0, 0], faces))
    assert session.most == expected
    assert found == [112 * 112 * number for number in range(lanes)]


@pytest.mark.parametrize(
    ("asked", "sizes", "expected"),
    [
        ({"embedder_precision": "int8"}, {1, 4}, 6),
        ({"embedder_precision": "float32"}, {1}, 12),
        ({"embedder": "arcface", "embedder_file": "mobilefacenet.onnx"}, {1}, 12),
    ],
)
def test_only_sface_in_low_precision_runs_in_batches_and_half_its_lanes_at_once(
    asked, sizes, expected, model_cache, shared, monkeypatch
):
    if "embedder_file" in asked:
        asked = asked | {"embedder_file": shared / "models" / asked["embedder_file"]}
    vnni = Machine(frozenset({"avx512_vnni"}), openvino=True)
    monkeypatch.setattr(Machine, "this", lambda: vnni)
    runs = Waiting(expected)
    monkeypatch.setattr(OpenvinoSession, "run", lambda _, batch: [runs.run(batch)[0][:, [0] * 128]])
    settings = ModelSettings(
        cache_dir=model_cache, threads=12, embedder_provider="openvino", detector_provider="cpu"
    )
    runs.all_running.abort()  # none waits while the models are loaded
    embedder = build_analyser(settings.model_copy(update=asked)).embedder
    runs.all_running.reset()
    runs.most = 0
    faces = [np.ones((112, 112, 3), np.uint8)] * 5
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda _: embedder.raw(faces), range(12)))
    assert set(runs.sizes) == sizes
    assert runs.most == expected


@pytest.fixture(scope="module", params=["float32", "bfloat16", "int8"])
def batching(request, model_cache):
    """SFace in OpenVINO."""
    skip_without(request.param)
    path = model_registry.prepare_builtin(
        model_registry.SFACE, model_cache, quantized=request.param == "int8"
    )
    session = create_session(path, "openvino", 1, bfloat16=request.param == "bfloat16")
    return ArcFaceEmbedder(session, "sface", UNCHANGED, runs=Runs(full_batch=4))


def test_an_embedding_does_not_depend_on_the_faces_that_are_embedded_with_it(batching, aligned):
    alone = np.concatenate([batching.embed([face]) for face in aligned])

    @settings(max_examples=15, deadline=None)
    @given(st.lists(st.integers(0, len(aligned) - 1), min_size=1, max_size=9))
    def check(chosen):
        together = batching.embed([aligned[index] for index in chosen])
        assert (together * alone[chosen]).sum(axis=1).min() > 0.9999

    check()


def test_no_faces_no_embeddings(analyser):
    assert analyser.embedder.embed([]).shape == (0, 128)


def test_other_files_are_refused(shared):
    session = create_session(shared / "models/scrfd_500m_bnkps.onnx", "cpu", 1)
    with pytest.raises(ModelError, match="ArcFace"):
        ArcFaceEmbedder(session, "m", UNCHANGED)


@pytest.mark.parametrize(
    ("written", "read_as"),
    [("127.5", (127.5, 127.5, 127.5)), ("[1,2,3.5]", (1, 2, 3.5))],
)
def test_per_channel_settings(written, read_as, monkeypatch):
    monkeypatch.setenv("FECAPASS_MODELS__EMBEDDER_MEAN", written)
    assert load_settings(DetectSettings, env_files=()).models.embedder_mean == read_as


def test_two_channels_are_refused(monkeypatch):
    monkeypatch.setenv("FECAPASS_MODELS__EMBEDDER_MEAN", "[1,2]")
    with pytest.raises(ConfigurationError, match="EMBEDDER_MEAN"):
        load_settings(DetectSettings, env_files=())
