from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.decisions.gallery_threshold import ImpostorTail
from domain.decisions.matching import (
    Candidate,
    MatchPolicy,
    WantedFpir,
    decide,
    decide_without,
    withheld,
)

cosines = st.floats(-1, 1, width=32)
policies = st.builds(MatchPolicy, threshold=cosines, margin=st.floats(0, 0.5, width=32))
galleries = st.lists(cosines, max_size=6).map(
    lambda values: [Candidate(UUID(int=i), value) for i, value in enumerate(values)]
)


def candidates(*similarities):
    return [Candidate(UUID(int=i), value) for i, value in enumerate(similarities)]


@pytest.mark.parametrize(
    ("similarities", "reason", "user"),
    [
        ((), "empty_gallery", None),
        ((0.6,), "matched", 0),
        ((0.6, 0.2), "matched", 0),
        ((0.2, 0.6), "matched", 1),
        ((0.4, 0.1), "below_threshold", None),
        ((0.6, 0.58), "ambiguous", None),
        ((0.5, 0.25), "matched", 0),
    ],
)
def test_table(similarities, reason, user):
    decision = decide(candidates(*similarities), MatchPolicy(threshold=0.5, margin=0.05))
    assert decision.reason == reason
    assert decision.user_id == (None if user is None else UUID(int=user))


@given(galleries, policies)
def test_field_01_an_unreliable_face_matches_at_no_similarity(gallery, policy):
    plain, unreliable = decide(gallery, policy), decide(gallery, policy, reliable=False)
    assert (unreliable.user_id, unreliable.reason) == (None, "unreliable")
    assert unreliable.similarity == plain.similarity
    assert unreliable.runner_up_similarity == plain.runner_up_similarity


def test_a_tie_is_never_a_match():
    assert decide(candidates(0.9, 0.9), MatchPolicy(0.5, 0.0)).reason == "ambiguous"


@given(galleries, policies)
def test_a_match_has_threshold_and_margin(gallery, policy):
    decision = decide(gallery, policy)
    ranked = sorted((c.similarity for c in gallery), reverse=True)
    assert decision.similarity == (ranked[0] if ranked else None)
    assert decision.runner_up_similarity == (ranked[1] if len(ranked) > 1 else None)
    assert (decision.user_id is not None) == (decision.reason == "matched")
    if decision.user_id is not None:
        assert gallery[decision.user_id.int].similarity == ranked[0] >= policy.threshold
        assert len(ranked) == 1 or ranked[0] - ranked[1] >= policy.margin


@given(galleries, policies, st.booleans())
def test_the_best_candidate_of_an_unknown_is_the_one_whose_similarity_is_told(
    gallery, policy, reliable
):
    decision = decide(gallery, policy, reliable=reliable)
    if decision.user_id is not None or not gallery:
        assert decision.candidate_id is None
    else:
        assert gallery[decision.candidate_id.int].similarity == decision.similarity


@given(galleries, policies, st.randoms())
def test_order_does_not_matter(gallery, policy, random):
    shuffled = random.sample(gallery, len(gallery))
    assert decide(shuffled, policy) == decide(gallery, policy)


@given(galleries, policies, st.floats(0, 1, width=32))
def test_a_more_similar_best_candidate_stays_matched(gallery, policy, gain):
    before = decide(gallery, policy)
    assume(before.user_id is not None)
    raised = [
        Candidate(c.user_id, c.similarity + gain) if c.user_id == before.user_id else c
        for c in gallery
    ]
    assert decide(raised, policy).user_id == before.user_id


@given(galleries, policies, st.floats(0, 1, width=32))
def test_a_stricter_policy_never_matches_more(gallery, policy, more):
    strict = MatchPolicy(policy.threshold + more, policy.margin + more)
    if decide(gallery, strict).user_id is not None:
        assert decide(gallery, policy).user_id == decide(gallery, strict).user_id


@given(galleries, policies, st.sets(st.integers(0, 6)), st.booleans())
def test_no_decision_names_an_erased_user_nor_who_lost_to_one(gallery, policy, gone, reliable):
    erased = {UUID(int=number) for number in gone}
    before = decide(gallery, policy, reliable=reliable)
    decision, was_erased = decide_without(erased, gallery, policy, reliable=reliable)
    assert was_erased == (before.user_id in erased)
    assert decision.user_id == (None if was_erased else before.user_id)
    assert (decision.user_id is not None) == (decision.reason == "matched")
    left = [one for one in gallery if one.user_id not in erased]
    assert decision.similarity == max((one.similarity for one in left), default=None)
    if len(left) == len(gallery):
        assert decision == before
    named = decision.candidate_id
    if was_erased or decision.user_id is not None or not left:
        assert named is None
    else:
        assert gallery[named.int].similarity == decision.similarity
        assert named not in erased


@given(policies, st.integers(0, 10**6))
def test_one_threshold_serves_all_galleries_by_default(policy, size):
    assert policy.in_gallery(size) == policy


@given(policies, st.floats(0.001, 0.5), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_wanted_fpir_only_raises_the_threshold(policy, fpir, one, two):
    tail = ImpostorTail(0.1, 0.08)
    wanted = MatchPolicy(policy.threshold, policy.margin, WantedFpir(fpir, tail))
    smaller, larger = (wanted.in_gallery(size) for size in sorted((one, two)))
    assert policy.threshold <= smaller.threshold <= larger.threshold
    assert larger.margin == policy.margin
    assert tail.fpir(larger.threshold, max(one, two, 1)) <= fpir * 1.001 or larger.threshold == 1


@given(galleries, policies, st.booleans())
def test_a_decision_that_is_withheld_names_nobody(gallery, policy, reliable):
    decision = decide(gallery, policy, reliable=reliable)
    found = withheld(decision)
    assert found.user_id is None
    assert found.reason == ("spoof_suspected" if reliable else "unreliable")
    assert found.similarity == decision.similarity
    assert found.candidate_id == (decision.user_id or decision.candidate_id)


def test_who_lost_to_an_erased_user_is_no_candidate_either():
    policy, found = MatchPolicy(0.5, 0.05), candidates(0.9, 0.3)
    decision, was_erased = decide_without({UUID(int=0)}, found, policy)
    assert (was_erased, decision.user_id, decision.candidate_id) == (True, None, None)
    assert (decision.reason, decision.similarity) == ("below_threshold", 0.3)
    assert decide_without({UUID(int=1)}, found[::-1], policy)[0].user_id == UUID(int=0)
    low = decide_without({UUID(int=1)}, candidates(0.4, 0.3), policy)[0]
    assert (low.reason, low.candidate_id) == ("below_threshold", UUID(int=0))
