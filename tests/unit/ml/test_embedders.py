import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ClassVar

import numpy as np
import pytest

from config.settings import ConfigurationError, DetectSettings, ModelSettings, load_settings
from domain.images.image_errors import ModelError
from ml.recognition.alignment import align
from ml.recognition.embedders import MAX_AT_ONCE, UNCHANGED, ArcFaceEmbedder, Preprocessing
from ml.recognition.face_analyser import build_analyser
from ml.runtime import model_registry
from ml.runtime.sessions import create_session
from tests.unit.ml.conftest import read

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


class Waiting:
    """A model that sums up each channel; runs wait until so many are running, or half a second."""

    input_shape = (None, 3, 112, 112)
    output_shapes: ClassVar = {"sums": (None, 3)}

    def __init__(self, provider, expected):
        self.provider = provider
        self.all_running = threading.Barrier(expected)
        self.lock, self.running, self.most = threading.Lock(), 0, 0

    def batch_size(self, *_sizes):
        return 1

    def run(self, batch):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        with suppress(threading.BrokenBarrierError):
            self.all_running.wait(0.5)
        with self.lock:
            self.running -= 1
        return [batch.sum(axis=(2, 3))]


@pytest.mark.parametrize(
    ("provider", "expected"), [("openvino", MAX_AT_ONCE), ("cpu", 2 * MAX_AT_ONCE)]
)
def test_runs_that_hold_a_compiled_model_are_few(provider, expected):
    lanes = 2 * MAX_AT_ONCE
    session = Waiting(provider, expected)
    embedder = ArcFaceEmbedder(session, "sums", UNCHANGED)
    faces = [np.full((112, 112, 3), number, np.uint8) for number in range(lanes)]
    with ThreadPoolExecutor(lanes) as threads:
        found = list(threads.map(lambda face: embedder.raw([face])[0, 0], faces))
    assert session.most == expected
    assert found == [112 * 112 * number for number in range(lanes)]


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
