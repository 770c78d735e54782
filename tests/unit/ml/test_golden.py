"""Whatever is made faster: the same faces come out of the shared pictures, and the same people."""

import json
from collections import defaultdict
from uuid import UUID

import numpy as np
import pytest

from config.settings import ModelSettings
from domain.decisions.matching import decide
from ml.gallery.exact_search import Gallery
from ml.recognition.face_analyser import build_analyser
from ml.runtime.model_registry import match_policy
from tests.unit.ml.conftest import (
    ALL_OPENVINO,
    REFERENCE,
    SPLIT,
    read,
    skip_without,
    template_of,
)
from tests.unit.ml.golden import FILE, PRECISE, PRECISIONS, embedded, pictures, rows_of

GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))
GOLDEN_PRECISIONS = json.loads(PRECISIONS.read_text(encoding="utf-8"))

#: Least cosine to float32 of any face, and mean.
ALIKE = {"bfloat16": (0.999, 0.9998), "int8": (0.97, 0.994)}
#: Along one direction, of the same precision on another processor.
ROUNDING = {"bfloat16": 0.02, "int8": 0.15}


@pytest.fixture(scope="module")
def reference(model_cache, shared):
    """What onnxruntime finds in each picture, in float32."""
    return analyse(build_analyser(ModelSettings(cache_dir=model_cache, **REFERENCE)), shared)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(ALL_OPENVINO, id="openvino"),
        pytest.param(SPLIT, id="cpu+openvino"),
    ],
)
def other(request, model_cache, shared):
    """The same on another provider."""
    settings = ModelSettings(cache_dir=model_cache, **request.param)
    return analyse(build_analyser(settings), shared)


def analyse(analyser, shared):
    return {
        str(path.relative_to(shared)): analyser.analyse([read(path)])[0]
        for path in pictures(shared)
    }


def check_golden(found_by_name):
    assert found_by_name.keys() == GOLDEN.keys()
    for name, faces in found_by_name.items():
        found, expected = rows_of(faces), GOLDEN[name]
        assert len(found) == len(expected), name
        if not expected:
            continue
        found, expected = np.array(found), np.array(expected)
        # Boxes to a pixel, scores and quality to a hundredth, embeddings to a part in fifty of
        # what two people differ by: processors round differently, and no more.
        np.testing.assert_allclose(found[:, :4], expected[:, :4], atol=1.0, err_msg=name)
        np.testing.assert_allclose(found[:, 4:6], expected[:, 4:6], atol=0.01, err_msg=name)
        np.testing.assert_allclose(found[:, 6:], expected[:, 6:], atol=0.03, err_msg=name)


def largest(faces):
    return max(faces, key=lambda face: face.box[2] * face.box[3]).embedding


def identities(found_by_name, enrolled=None):
    """Who each portrait shows, by a gallery of the first photos of each person.

    ``enrolled`` is what was found in these, if other models did.
    """
    enrolled = enrolled or found_by_name
    people = defaultdict(dict)
    portraits = [name for name in found_by_name if name.startswith("data/faces/")]
    for name in portraits:
        folder, file = name.split("/")[-2:]
        if folder != "distractor":
            people[file[:6] if folder == "pair" else folder][name] = largest(enrolled[name])
    gallery = Gallery("sface-2021dec", 128)
    gallery.apply(
        (UUID(int=number), template_of(list(photos.values())[:-1]))
        for number, photos in enumerate(people.values())
    )
    policy = match_policy("sface-2021dec", ModelSettings())
    probes = np.stack([largest(found_by_name[name]) for name in portraits])
    return {
        name: decide(candidates, policy).user_id
        for name, candidates in zip(portraits, gallery.search(probes, 2), strict=True)
    }


def test_the_same_faces_are_found(reference):
    check_golden(reference)


def test_another_provider_finds_the_same_faces(other):
    check_golden(other)


def test_another_provider_embeds_alike(reference, other):
    cosines = [
        one.embedding @ twin.embedding
        for name, faces in reference.items()
        for one, twin in zip(faces, other[name], strict=True)
    ]
    assert len(cosines) > 100
    assert min(cosines) > 0.9999


def test_another_provider_knows_the_same_people(reference, other):
    known = identities(reference)
    assert identities(other) == known
    assert sum(who is not None for who in known.values()) > 60
    assert sum(who is None for who in known.values()) > 50


@pytest.fixture(scope="module", params=PRECISE)
def precise(request, model_cache, shared):
    """A precision, and what is found with the embedder in it."""
    precision = request.param
    skip_without(precision)
    settings = ModelSettings(cache_dir=model_cache, **PRECISE[precision])
    return precision, analyse(build_analyser(settings), shared)


def test_a_precision_finds_the_same_faces_and_embeds_as_it_did(precise):
    precision, found = precise
    golden = GOLDEN_PRECISIONS[precision]
    assert found.keys() == golden.keys()
    for name, faces in found.items():
        assert len(faces) == len(golden[name]), name
        if faces:
            np.testing.assert_allclose(
                embedded(faces), golden[name], atol=ROUNDING[precision], err_msg=name
            )


def test_a_precision_embeds_alike(reference, precise):
    precision, found = precise
    pairs = [
        (one, twin)
        for name, faces in reference.items()
        for one, twin in zip(faces, found[name], strict=True)
    ]
    assert all(one.quality.reliable == twin.quality.reliable for one, twin in pairs)
    cosines = [one.embedding @ twin.embedding for one, twin in pairs]
    least, mean = ALIKE[precision]
    assert min(cosines) > least
    assert np.mean(cosines) > mean
    assert min(cosines) < 0.99999  # it is another precision


def test_a_precision_knows_the_same_people_by_templates_of_float32(reference, precise):
    _, found = precise
    known = identities(reference)
    assert identities(found, reference) == known  # a gallery from before
    assert identities(found) == known  # and one of its own
    assert identities(reference, found) == known  # and an older worker after


def test_both_models_in_bfloat16_find_the_same_faces_and_people(reference, model_cache, shared):
    skip_without("bfloat16")
    analyser = build_analyser(ModelSettings(cache_dir=model_cache, precision="bfloat16"))
    assert (analyser.provider, analyser.precision) == ("openvino", "bfloat16")
    everything = analyse(analyser, shared)
    moved = []  # by what share of its width each box
    for name, faces in everything.items():
        assert len(faces) == len(GOLDEN[name]), name
        if faces:
            found, expected = np.array(rows_of(faces)), np.array(GOLDEN[name])
            change = np.abs(found[:, :4] - expected[:, :4]) / expected[:, 2:3]
            moved += change.max(axis=1).tolist()
            np.testing.assert_allclose(found[:, 4], expected[:, 4], atol=0.02, err_msg=name)
    assert np.quantile(moved, 0.99) < 0.03
    assert 1e-3 < max(moved) < 0.1
    known = identities(reference)
    assert identities(everything, reference) == known
    assert identities(everything) == known


def test_the_default_knows_the_same_people(analyser, reference, shared):
    known = identities(reference)
    found = analyse(analyser, shared)
    assert identities(found, reference) == known
    assert identities(found) == known


def test_the_golden_numbers_distinguish_people():
    (one,), (other,) = (
        GOLDEN["data/faces/portraits/pair/020119_0_wiki.jpg"],
        GOLDEN["data/faces/portraits/pair/020501_0_wiki.jpg"],
    )
    assert one[6:] != pytest.approx(other[6:], abs=0.3)
