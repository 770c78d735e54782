"""Faces that the embedders were not trained for are recognised."""

import dataclasses

import cv2
import numpy as np
import pytest

from benchmarks.inference.angles import turned
from config.settings import ModelSettings
from ml.detection.detections import Detections
from ml.recognition.alignment import align
from ml.recognition.face_analyser import build_analyser
from ml.recognition.uprightness import (
    LEAST_MARGIN,
    NOT_CHECKED,
    NOT_FOUND,
    LocatedFace,
    UprightCheck,
)
from ml.runtime.model_registry import SFACE, mirror_model_id, trusted_length
from tests.unit.ml.conftest import REFERENCE, read, skip_without
from tests.unit.ml.golden import PRECISE

TURNED = ["90", "135", "180", "225", "270", "flipped"]
UPRIGHT = ["0", "15", "30", "330", "345", "mirrored"]


def largest(analyser, picture):
    (faces,) = analyser.analyse([picture])
    return max(faces, key=lambda face: face.box[2] * face.box[3], default=None)


@pytest.fixture(scope="module")
def pictures(portraits):
    return [read(path) for path in portraits[::9]]


@pytest.mark.parametrize("view", TURNED)
def test_field_01_turned_faces_are_unreliable(analyser, pictures, view):
    faces = [face for one in pictures if (face := largest(analyser, turned(one, view)))]
    assert faces
    assert [face for face in faces if face.quality.reliable] == []
    for quality in (face.quality for face in faces if face.quality.score > 0):
        assert quality.parts["uprightness"] == quality.score


@pytest.mark.parametrize(
    ("precision", "mirror"),
    [("float32", False), ("float32", True), *((each, False) for each in PRECISE)],
)
def test_field_01_no_turned_face_has_a_trusted_length_in_any_precision(
    precision, mirror, model_cache, pictures
):
    skip_without(precision)
    asked = {"float32": REFERENCE, **PRECISE}[precision]
    analyser = build_analyser(ModelSettings(cache_dir=model_cache, embedder_mirror=mirror, **asked))
    lengths = []
    for view in ("60", "75", "90", "180"):
        shown = [turned(one, view) for one in pictures]
        found = analyser.detector.detect(shown)
        aligned = [
            align(image, faces.landmarks[0])
            for image, faces in zip(shown, found, strict=True)
            if len(faces)
        ]
        lengths += np.linalg.norm(analyser.embedder.raw(aligned), axis=1).tolist()
    assert len(lengths) > 2 * len(pictures)
    assert max(lengths) < analyser.embedder.trusted_length < np.inf


@pytest.mark.parametrize("view", UPRIGHT)
def test_field_01_upright_and_tilted_faces_stay(analyser, pictures, view):
    faces = [face for one in pictures if (face := largest(analyser, turned(one, view)))]
    assert len(faces) >= len(pictures) - 1
    assert all(face.quality.reliable for face in faces)


def test_field_01_no_unknown_face_turned_upside_down_matches(analyser, shared):
    paths = sorted((shared / "field/03-upside-down").glob("*.jpg"))
    faces = [largest(analyser, read(path)) for path in paths]
    assert len(faces) == 4
    assert not any(face.quality.reliable for face in faces)
    assert not any(face.quality.score >= ModelSettings().enrol_min_quality for face in faces)


def test_field_01_the_size_of_the_picture_does_not_matter(analyser, portraits):
    """Nor does the grain of a large one, which averages out at the size of the second look."""
    small = read(portraits[0])
    large = cv2.resize(small, None, fx=12, fy=12, interpolation=cv2.INTER_CUBIC)
    assert not largest(analyser, turned(large, "180")).quality.reliable
    (found,) = analyser.detector.detect([small])
    grain = np.random.default_rng(0).normal(0, 100, large.shape)
    grainy = np.clip(large + grain, 0, 255).astype(np.uint8)
    (margin,) = analyser.check.margins([LocatedFace(grainy, 12 * found.landmarks[0])])
    assert margin > LEAST_MARGIN


def checked(settings):
    """With a second look at every face."""
    return build_analyser(settings.model_copy(update={"embedder_trusted_length": 1e9}))


def scrfd(shared, cache, name):
    return ModelSettings(
        detector="scrfd",
        detector_file=shared / f"models/{name}.onnx",
        detection_threshold=0.5,
        cache_dir=cache,
    )


@pytest.mark.parametrize("name", ["scrfd_500m_bnkps", "scrfd_2.5g_bnkps"])
def test_field_01_it_holds_for_a_detector_of_the_users(shared, model_cache, groups, name):
    """One has a fixed size of input, and takes several sheets at once."""
    analyser = checked(scrfd(shared, model_cache, name))
    (group,) = [read(path) for path in groups if path.name == "016_8.jpg"]
    (faces,) = analyser.analyse([group])
    assert len(faces) >= 8
    assert all(LEAST_MARGIN < face.quality.upright_margin < NOT_CHECKED for face in faces)
    (faces,) = analyser.analyse([turned(group, "180")])
    assert not any(face.quality.reliable for face in faces)


@pytest.mark.parametrize("name", ["yunet", "scrfd_500m_bnkps"])
def test_field_01_faces_get_the_margins_of_their_own(analyser, shared, model_cache, groups, name):
    if name != "yunet":
        analyser = build_analyser(scrfd(shared, model_cache, name))
    image = read(groups[0])
    (found,) = analyser.detector.detect([image])
    faces = [LocatedFace(image, landmarks) for landmarks in found.landmarks]
    faces += [LocatedFace(image, 2 * points.mean(axis=0) - points) for _, points in faces]
    together = analyser.check.margins(faces)
    if name == "yunet":  # the other sees several sheets at once, and the neighbours with each
        alone = [analyser.check.margins([face])[0] for face in faces]
        assert together == pytest.approx(alone, abs=1e-4)
    half = len(faces) // 2
    assert min(together[:half]) > LEAST_MARGIN > max(together[half:])


def test_field_01_what_is_no_face_is_not_found_again(analyser):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8)
    landmarks = np.array([[80, 80], [120, 80], [100, 100], [85, 120], [115, 120]], np.float32)
    places = [landmarks, landmarks + 10_000, np.zeros((5, 2), np.float32)]
    assert analyser.check.margins([LocatedFace(noise, one) for one in places]) == [NOT_FOUND] * 3
    assert analyser.check.margins([]) == []


def test_field_01_only_faces_in_doubt_get_a_second_look(analyser, model_cache, portraits):
    image = read(portraits[0])
    trusting = build_analyser(ModelSettings(cache_dir=model_cache, embedder_trusted_length=0))
    assert largest(trusting, turned(image, "180")).quality.upright_margin == NOT_CHECKED
    (faces,) = trusting.analyse([turned(image, "180")], check_all=True)
    assert faces
    assert not any(face.quality.reliable for face in faces)
    strict = checked(ModelSettings(cache_dir=model_cache))
    face, plain = largest(strict, image), largest(analyser, image)
    assert 0 < face.quality.upright_margin < NOT_CHECKED
    np.testing.assert_array_equal(face.embedding, plain.embedding)
    assert dataclasses.replace(face.quality, upright_margin=1.0) == plain.quality


def test_field_01_a_precision_that_was_not_measured_trusts_no_length():
    assert trusted_length(SFACE.id, "int4", ModelSettings()) == np.inf
    assert trusted_length(SFACE.id, "int4", ModelSettings(embedder_trusted_length=9)) == 9
    assert trusted_length(mirror_model_id(SFACE.id), "int8", ModelSettings()) == np.inf


def test_field_01_an_unknown_embedder_trusts_no_length(shared, model_cache):
    settings = ModelSettings(
        embedder="arcface",
        embedder_file=shared / "models/mobilefacenet.onnx",
        cache_dir=model_cache,
    )
    assert build_analyser(settings).embedder.trusted_length == float("inf")


@pytest.mark.parametrize("sheets", [(1, 1), (2, 1)])
def test_a_crowd_is_checked_in_parts_that_bound_the_memory(sheets):
    class Counting:
        def __init__(self):
            self.sizes = []

        def detect(self, images):
            self.sizes.append(len(images))
            return [Detections(np.zeros((0, 4)), np.zeros((0, 5, 2)), np.zeros(0))] * len(images)

    detector = Counting()
    face = LocatedFace(np.zeros((9, 9, 3), np.uint8), np.zeros((5, 2), np.float32))
    margins = UprightCheck(detector, sheets).margins([face] * 100)
    assert margins == [NOT_FOUND] * 100
    assert max(detector.sizes) == 32
    assert sum(detector.sizes) == 100 / sheets[0]
