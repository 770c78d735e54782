"""A photo is searched among the person's other photos, as if it had not been enrolled."""

from uuid import UUID

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.decisions.matching import Candidate, MatchPolicy, decide
from ml.evaluation.leave_one_out import photos_left_out
from ml.evaluation.open_set import fused
from ml.evaluation.people_bootstrap import draw_people

_DIMENSION = 4


@given(
    st.lists(st.integers(1, 3), min_size=2, max_size=5),
    st.integers(0, 2**32 - 1),
    st.sampled_from([-1.0, 0.2, 0.6]),
    st.sampled_from([0.0, 0.1]),
)
@settings(max_examples=150, deadline=None)
def test_each_photo_is_decided_as_if_it_were_not_enrolled(counts, seed, threshold, margin):
    random = np.random.default_rng(seed)
    people = random.permutation(np.repeat(np.arange(len(counts)), counts))
    centres = random.standard_normal((len(counts), _DIMENSION))
    embeddings = centres[people] + 0.7 * random.standard_normal((len(people), _DIMENSION))
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    drawn = draw_people(np.array(counts) > 1, 10)
    trialled = photos_left_out(embeddings, people, drawn)
    policy = MatchPolicy(threshold, margin)

    def decision(photo, left):
        gallery = fused(embeddings[left], people[left])
        candidates = [
            Candidate(UUID(int=int(owner)), float(embeddings[photo] @ template))
            for owner, template in zip(gallery.owners, gallery.templates, strict=True)
        ]
        return decide(candidates, policy).user_id

    photos = np.arange(len(people))
    several = [photo for photo in photos if counts[people[photo]] > 1]
    right = [decision(one, photos != one) == UUID(int=int(people[one])) for one in several]
    accepted = trialled.accepted(margin)
    assert (accepted.scores >= threshold).tolist() == right
    assert accepted.people.tolist() == people[several].tolist()
    wrong = [decision(one, people != people[one]) is not None for one in photos]
    assert (trialled.named(margin).scores >= threshold).tolist() == wrong
