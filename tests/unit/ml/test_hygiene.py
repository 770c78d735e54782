"""Mistakes of labels, against a plain calculation of each pair."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.gallery import hygiene
from ml.gallery.hygiene import PhotoRows, near_duplicates, outliers, too_alike


def units(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@st.composite
def galleries(draw):
    seed = draw(st.integers(0, 2**32 - 1))
    count = draw(st.integers(0, 12))
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, count)
    _, users = np.unique(labels, return_inverse=True)
    rows = units(random.normal(size=(count, 4))) if count else np.empty((0, 4), np.float32)
    return PhotoRows(rows, users.astype(np.int64), random.uniform(0.15, 1, count))


@given(galleries(), st.floats(-1, 1))
def test_outliers_are_compared_with_the_weighted_mean_of_the_others(photos, least):
    expected = {}
    for row, user in enumerate(photos.users):
        rest = [i for i in range(len(photos.users)) if photos.users[i] == user and i != row]
        if rest:
            mean = sum(photos.weights[i] * photos.embeddings[i].astype(float) for i in rest)
            expected[row] = float(mean @ photos.embeddings[row] / np.linalg.norm(mean))
    found = outliers(photos, least)
    assert [one.similarity for one in found] == sorted(one.similarity for one in found)
    for one in found:
        assert one.similarity == pytest.approx(expected[one.photo], abs=1e-5)
    sure = {row for row, score in expected.items() if score < least - 1e-5}
    possible = {row for row, score in expected.items() if score < least + 1e-5}
    assert sure <= {one.photo for one in found} <= possible


@given(galleries(), st.floats(-1, 1), st.sampled_from([1, 3, 4_000_000]))
def test_pairs_are_all_pairs_once(photos, limit, chunk):
    scores = photos.embeddings.astype(float) @ photos.embeddings.T.astype(float)
    pairs = [(i, j) for i in range(len(scores)) for j in range(i + 1, len(scores))]
    close = {pair for pair in pairs if scores[pair] >= limit + 1e-5}
    maybe = {pair for pair in pairs if scores[pair] >= limit - 1e-5}
    same = {(i, j) for i, j in pairs if photos.users[i] == photos.users[j]}
    hygiene._CHUNK, before = chunk, hygiene._CHUNK
    try:
        alike = too_alike(photos.embeddings, limit)
    finally:
        hygiene._CHUNK = before
    assert close <= {(one.one, one.other) for one in alike} <= maybe
    twice = near_duplicates(photos, limit)
    assert close & same <= {(one.one, one.other) for one in twice} <= maybe & same
    for found in (alike, twice):
        assert len({(one.one, one.other) for one in found}) == len(found)
        assert [one.similarity for one in found] == sorted(
            (one.similarity for one in found), reverse=True
        )


def test_a_template_is_the_weighted_mean():
    photos = PhotoRows(np.eye(2, dtype=np.float32), np.zeros(2, np.int64), np.array([1.0, 0.5]))
    assert photos.templates() == pytest.approx(units(np.array([[1.0, 0.5]])))
