"""The API decides as the identify agent does."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from api.decisions import decide_again
from ml.decision import Candidate, MatchPolicy, decide
from streams.answers import RankedCandidate

similarities = st.lists(st.floats(-1, 1), max_size=10).map(lambda found: sorted(found)[::-1])


@given(similarities, st.floats(-1, 1), st.floats(0, 1))
def test_the_same_candidates_are_decided_alike(found, threshold, margin):
    ranked = [
        RankedCandidate(user_id=UUID(int=number), similarity=similarity)
        for number, similarity in enumerate(found)
    ]
    candidates = [Candidate(one.user_id, one.similarity) for one in ranked]
    here = decide_again(ranked, threshold, margin)
    there = decide(candidates, MatchPolicy(threshold, margin))
    assert (here.user_id, here.reason) == (there.user_id, there.reason)


@given(similarities, st.floats(0, 1), st.floats(-1, 1), st.floats(-1, 1))
def test_a_higher_threshold_never_finds_more(found, margin, one, other):
    ranked = [
        RankedCandidate(user_id=UUID(int=number), similarity=similarity)
        for number, similarity in enumerate(found)
    ]
    low, high = sorted((one, other))
    if decide_again(ranked, high, margin).user_id is not None:
        assert decide_again(ranked, low, margin) == decide_again(ranked, high, margin)
