"""Whatever is made faster: the same faces come out of the shared pictures, and the same people."""

import json

import numpy as np
import pytest

from tests.unit.ml.golden import FILE, faces_of, pictures

GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))


def test_the_same_faces_are_found(analyser, shared):
    paths = {str(path.relative_to(shared)): path for path in pictures(shared)}
    assert paths.keys() == GOLDEN.keys()
    for name, path in paths.items():
        found, expected = faces_of(analyser, path), GOLDEN[name]
        assert len(found) == len(expected), name
        if not expected:
            continue
        found, expected = np.array(found), np.array(expected)
        # Boxes to a pixel, scores and quality to a hundredth, embeddings to a part in fifty of
        # what two strangers differ by: processors round differently, and no more.
        np.testing.assert_allclose(found[:, :4], expected[:, :4], atol=1.0, err_msg=name)
        np.testing.assert_allclose(found[:, 4:6], expected[:, 4:6], atol=0.01, err_msg=name)
        np.testing.assert_allclose(found[:, 6:], expected[:, 6:], atol=0.03, err_msg=name)


def test_the_golden_numbers_tell_people_apart():
    (one,), (other,) = (
        GOLDEN["data/faces/portraits/pair/020119_0_wiki.jpg"],
        GOLDEN["data/faces/portraits/pair/020501_0_wiki.jpg"],
    )
    assert one[6:] != pytest.approx(other[6:], abs=0.3)
