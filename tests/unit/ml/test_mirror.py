"""Embeddings of a face and its mirror image as one."""

import json
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import ModelSettings
from ml.recognition.alignment import align
from ml.recognition.embedders import (
    MAX_BATCH,
    UNCHANGED,
    ArcFaceEmbedder,
    MirrorEmbedder,
    Runs,
    unit_rows,
)
from ml.recognition.face_analyser import build_analyser
from ml.runtime.model_registry import embedder_id
from tests.unit.ml.conftest import REFERENCE, read, skip_without
from tests.unit.ml.golden import MIRROR, PRECISE, embedded, pictures
from tests.unit.ml.test_golden import identities

GOLDEN = json.loads(MIRROR.read_text(encoding="utf-8"))
WAYS = {"float32": REFERENCE, **PRECISE}


class Halves:
    """A model that sums up the left and the right half of a face, on any runtime."""

    provider = "openvino"
    input_shape = (None, 3, 112, 112)
    output_shapes: ClassVar = {"sums": (None, 2)}

    def __init__(self, largest):
        self.largest = largest
        self.sizes = []

    def batch_size(self, wanted, full=1):
        if self.largest:
            return min(wanted, self.largest)
        return full if wanted >= full else 1

    def run(self, batch):
        self.sizes.append(len(batch))
        halves = batch[..., :56], batch[..., 56:]
        return [np.stack([half.sum(axis=(1, 2, 3)) for half in halves], axis=1)]


def mirrored(face):
    return np.ascontiguousarray(face[:, ::-1])


def faces_of(seeds):
    return [np.random.default_rng(seed).integers(0, 256, (112, 112, 3), np.uint8) for seed in seeds]


@settings(max_examples=100, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 5), max_size=40), largest=st.sampled_from([0, 1, 3, MAX_BATCH])
)
def test_a_mirrored_face_has_the_same_embedding(seeds, largest):
    session = Halves(largest)
    plain = ArcFaceEmbedder(session, "halves", UNCHANGED, runs=Runs(full_batch=2))
    embedder = MirrorEmbedder(plain)
    faces = faces_of(seeds)
    found = embedder.raw(faces)
    np.testing.assert_array_equal(found, embedder.raw([mirrored(face) for face in faces]))
    assert (found.shape, found.dtype) == ((len(faces), 2), np.float32)
    for face, own in zip(faces, found, strict=True):
        by_hand = (plain.raw([face]) + plain.raw([mirrored(face)])) / 2
        np.testing.assert_array_equal(own, by_hand[0])


def test_a_face_and_its_mirror_image_are_one_run_where_the_runtime_takes_batches():
    session = Halves(0)
    embedder = MirrorEmbedder(
        ArcFaceEmbedder(session, "halves", UNCHANGED, runs=Runs(full_batch=2))
    )
    embedder.warm_up()
    embedder.embed(faces_of(range(5)))
    assert set(session.sizes) == {2}


@pytest.fixture(scope="module", params=WAYS)
def both(request, model_cache):
    """The default embedder in a precision, without and with the mirror image."""
    skip_without(request.param)
    asked = ModelSettings(cache_dir=model_cache, **WAYS[request.param])
    return [
        build_analyser(asked.model_copy(update={"embedder_mirror": mirror}))
        for mirror in (False, True)
    ]


@pytest.fixture(scope="module")
def reference(model_cache):
    return build_analyser(ModelSettings(cache_dir=model_cache, embedder_mirror=True, **REFERENCE))


def test_the_embedding_is_the_mean_in_each_precision(both, shared):
    plain, mirror = both
    assert mirror.embedder.id == f"{plain.embedder.id}-mirror"
    assert mirror.embedder.dimension == plain.embedder.dimension
    assert mirror.provider == plain.provider
    images = [read(path) for path in sorted((shared / "data/faces").rglob("*.jpg"))[:8]]
    found = mirror.analyse(images)
    for image, (face, *_) in zip(images, found, strict=True):
        crop = align(image, face.landmarks)
        two = plain.embedder.raw([crop, mirrored(crop)])
        (expected,) = unit_rows(two.mean(axis=0)[None])
        assert face.embedding @ expected > 0.9999
        again, back = mirror.embedder.embed([crop, mirrored(crop)])
        assert again @ back > 0.9999
        assert again @ face.embedding > 0.9999
        assert face.embedding @ plain.embedder.embed([crop])[0] < 0.9999  # another model


def test_a_file_of_the_user_has_a_mirror_model_too(model_cache, shared):
    asked = ModelSettings(
        cache_dir=model_cache,
        embedder="arcface",
        embedder_file=shared / "models/mobilefacenet.onnx",
        embedder_mirror=True,
    )
    embedder = build_analyser(asked).embedder
    assert embedder.id == embedder_id(asked)
    assert embedder.trusted_length == np.inf
    (face,) = faces_of([1])
    one, two = embedder.embed([face, mirrored(face)])
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_the_same_faces_and_people_are_found(reference, shared):
    found = {
        str(path.relative_to(shared)): reference.analyse([read(path)])[0]
        for path in pictures(shared)
    }
    assert found.keys() == GOLDEN.keys()
    for name, faces in found.items():
        assert len(faces) == len(GOLDEN[name]), name
        if faces:
            np.testing.assert_allclose(embedded(faces), GOLDEN[name], atol=0.03, err_msg=name)
    known = identities(found)
    assert sum(who is not None for who in known.values()) > 60
    assert sum(who is None for who in known.values()) > 50
