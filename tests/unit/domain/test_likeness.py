"""Photos of another person, and one person under two users."""

from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from domain.decisions.likeness import (
    LOOKS_LIKE_ANOTHER_USER,
    OVERRULED_BY_FORCE,
    UNLIKE_OWN_PHOTOS,
    LikenessPolicy,
    unlikely,
)
from domain.decisions.matching import Candidate

POLICY = LikenessPolicy(another=0.55, own=0.30)
cosines = st.floats(-1, 1)


def others(*similarities):
    return [Candidate(UUID(int=number), one) for number, one in enumerate(similarities)]


@given(st.none() | cosines, st.lists(cosines, max_size=4))
@example(own=None, similarities=[0.55])
@example(own=0.55, similarities=[0.55])
@example(own=0.30, similarities=[])
@example(own=0.29, similarities=[0.54])
@example(own=0.29, similarities=[0.9])
def test_what_does_not_fit_is_refused_and_nothing_else(own, similarities):
    found = unlikely(own, others(*similarities), POLICY)
    best = max(similarities, default=-2.0)
    if best >= 0.55 and (own is None or best > own):
        assert found.refusal.code == LOOKS_LIKE_ANOTHER_USER
        assert (found.similarity, found.another.similarity) == (best, best)
        assert found.another.user_id == UUID(int=similarities.index(best))
        assert found.refusal.measures["similarity"] == best
    elif own is not None and own < 0.30:
        assert found.refusal.code == UNLIKE_OWN_PHOTOS
        assert (found.similarity, found.another) == (own, None)
    else:
        assert found is None
        return
    assert found.refusal.code in OVERRULED_BY_FORCE
    assert f"{found.similarity:.2f}" in found.refusal.message
    assert "force" in found.refusal.message


def test_the_closest_of_several_is_named_in_any_order():
    for similarities in ([0.6, 0.9, 0.7], [0.9, 0.7, 0.6]):
        assert unlikely(None, others(*similarities), POLICY).similarity == 0.9


def test_a_user_without_photos_is_compared_with_the_others_alone():
    assert unlikely(None, [], POLICY) is None
    assert unlikely(None, others(0.54), POLICY) is None


def test_a_twin_who_was_enrolled_by_force_gets_further_photos():
    assert unlikely(0.93, others(0.9), POLICY) is None
    assert unlikely(0.90, others(0.93), POLICY).refusal.code == LOOKS_LIKE_ANOTHER_USER


def test_a_man_s_photo_among_another_s_photos_is_refused_either_way():
    """Tried before there was a rule: it was enrolled, and then matched with 0.57."""
    assert unlikely(0.08, [], POLICY).refusal.code == UNLIKE_OWN_PHOTOS
    assert unlikely(0.08, others(0.74), POLICY).refusal.code == LOOKS_LIKE_ANOTHER_USER
