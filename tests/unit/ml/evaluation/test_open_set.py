"""The search of an evaluation decides as the product does."""

from uuid import UUID

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.decisions.matching import Candidate, MatchPolicy, decide
from ml.evaluation.open_set import Gallery, Probes, fused, search
from ml.gallery.exact_search import Gallery as ProductGallery

_DIMENSION = 4


def unit(vectors):
    vectors = np.asarray(vectors, np.float32).reshape(-1, _DIMENSION)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@st.composite
def searches(draw):
    """Galleries of a few people, with twins among them, and probes of them and of others."""
    values = st.sampled_from([-1.0, -0.5, 0.25, 0.5, 1.0])
    vector = st.lists(values, min_size=_DIMENSION, max_size=_DIMENSION)
    enrolled = draw(st.lists(vector, min_size=1, max_size=6))
    probes = draw(st.lists(vector, min_size=1, max_size=8))
    count = len(probes)
    people = draw(st.lists(st.integers(0, 8), min_size=count, max_size=count))
    reliable = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    gallery = Gallery(unit(enrolled), np.arange(len(enrolled)))
    return gallery, Probes(unit(probes), np.array(people), np.array(reliable))


@given(searches(), st.sampled_from([-1.0, 0.3, 0.7, 0.95]), st.sampled_from([0.0, 0.05, 0.3]))
@settings(max_examples=150, deadline=None)
def test_each_probe_is_decided_as_by_the_workers(searched, threshold, margin):
    gallery, probes = searched
    trials, _ = search(gallery, probes)
    policy = MatchPolicy(threshold, margin)
    scores = np.asarray(probes.embeddings @ gallery.templates.T, np.float64)
    right = trials.accepted(margin) >= threshold
    wrong = trials.named_wrongly(margin) >= threshold
    instead = trials.misidentified(margin) >= threshold
    for row, person in enumerate(probes.people.tolist()):
        candidates = [Candidate(UUID(int=at), float(one)) for at, one in enumerate(scores[row])]
        reliable = bool(probes.reliable[row])
        known = person < len(gallery.owners)
        assert trials.known[row] == known
        decision = decide(candidates, policy, reliable=reliable)
        assert right[row] == (known and decision.user_id == UUID(int=person))
        assert instead[row] == (known and decision.user_id not in {None, UUID(int=person)})
        others = [one for one in candidates if one.user_id != UUID(int=person)]
        without = decide(others, policy, reliable=reliable)
        assert wrong[row] == (without.user_id is not None)
        if without.user_id is not None:
            assert UUID(int=int(trials.named[row])) == without.user_id


def test_a_tie_is_no_match_even_without_a_margin():
    gallery = Gallery(unit(np.eye(_DIMENSION)[[0, 0]]), np.arange(2))
    probes = Probes(unit(np.eye(_DIMENSION)[[0, 0]]), np.array([0, 5]), np.ones(2, bool))
    trials, _ = search(gallery, probes)
    assert trials.accepted(0.0).tolist() == [-np.inf, -np.inf]
    assert trials.named_wrongly(0.0)[1] == -np.inf


def test_templates_are_those_of_the_product_s_gallery():
    random = np.random.default_rng(1)
    photos = unit(random.standard_normal((9, _DIMENSION)))
    people = np.repeat([4, 2, 7], 3)
    gallery = fused(photos, people)
    assert gallery.owners.tolist() == [2, 4, 7]
    product = ProductGallery("model", _DIMENSION)
    product.apply([(UUID(int=one), photos[people == one].mean(axis=0)) for one in (2, 4, 7)])
    for owner, template in zip(gallery.owners.tolist(), gallery.templates, strict=True):
        np.testing.assert_allclose(template, product.template(UUID(int=owner)), atol=1e-6)


def test_the_tail_has_the_highest_comparisons_of_different_people():
    random = np.random.default_rng(2)
    gallery = Gallery(unit(random.standard_normal((30, _DIMENSION))), np.arange(30))
    people = np.arange(40) + 10
    probes = Probes(unit(random.standard_normal((40, _DIMENSION))), people, np.ones(40, bool))
    _, tail = search(gallery, probes)
    scores = np.asarray(probes.embeddings @ gallery.templates.T, np.float64)
    different = people[:, None] != gallery.owners[None]
    assert tail.total == different.sum()
    highest = np.sort(scores[different])[::-1][: len(tail.scores)]
    np.testing.assert_array_equal(tail.scores, highest)
    assert (tail.probes != tail.owners).all()
