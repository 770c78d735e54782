"""Each candidate is marked with the closest face that is not this user."""

from uuid import UUID

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from domain.decisions.matching import Candidate
from ml.gallery.vetoed_faces import VetoedFaces

DIMENSION = 8


def unit(rng):
    vector = rng.normal(size=DIMENSION).astype(np.float32)
    return vector / np.linalg.norm(vector)


@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(1, 4))
def test_the_mark_is_the_cosine_of_the_closest_vetoed_face(seed, vetoes, probes):
    rng = np.random.default_rng(seed)
    faces = [(UUID(int=int(rng.integers(3))), unit(rng)) for _ in range(vetoes)]
    found = np.stack([unit(rng) for _ in range(probes)])
    candidates = [[Candidate(UUID(int=n), 0.5) for n in range(4)] for _ in range(probes)]
    marked = VetoedFaces(faces).marked(found, candidates)
    for probe, of_probe in zip(found, marked, strict=True):
        for one in of_probe:
            own = [float(face @ probe) for user, face in faces if user == one.user_id]
            if own:
                assert abs(one.veto - max(own)) < 1e-6
            else:
                assert one.veto is None
            assert one.similarity == 0.5


def test_an_embedding_of_another_dimension_marks_nothing():
    faces = VetoedFaces([(UUID(int=1), np.ones(4, np.float32) / 2)])
    probe = np.ones((1, DIMENSION), np.float32)
    assert faces.marked(probe, [[Candidate(UUID(int=1), 0.5)]])[0][0].veto is None
