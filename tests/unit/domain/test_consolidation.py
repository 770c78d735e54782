"""Only what is certain is merged, two people never are, and the order makes no difference."""

from datetime import timedelta
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.decisions.consolidation import (
    ConsolidationPolicy,
    Group,
    Merge,
    consolidate,
    linkage,
    two_parts,
)
from tests.contract.builders import NOON

POLICY = ConsolidationPolicy(merge_threshold=0.6, propose_threshold=0.5)
DIMENSION = 6


def ident(number):
    return UUID(int=number + 1)


def crowd(seed, size, people=3, noise=0.3):
    """Unknowns of a few people, each with some exemplars."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(people, DIMENSION))
    groups = []
    for number in range(size):
        rows = own[rng.integers(people)] + noise * rng.normal(
            size=(int(rng.integers(1, 4)), DIMENSION)
        )
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        # Not in the order of the ids.
        seen = NOON + timedelta(minutes=int(rng.integers(100)))
        groups.append(Group(ident(number), seen, rows.astype(np.float32)))
    return groups


def all_pairs(groups):
    ids = [group.unknown_id for group in groups]
    return [(one, other) for one in ids for other in ids if one < other]


CROWDS = st.tuples(st.integers(0, 10**6), st.integers(0, 8)).map(lambda drawn: crowd(*drawn))
PAIRS = st.sets(
    st.tuples(st.integers(0, 7), st.integers(0, 7))
    .filter(lambda pair: pair[0] != pair[1])
    .map(lambda pair: frozenset(map(ident, pair))),
    max_size=8,
)


def clusters_of(groups, merges):
    """Who is together after the merges, as sets."""
    together = {group.unknown_id: {group.unknown_id} for group in groups}
    for merge in merges:
        union = together[merge.kept] | together[merge.merged]
        for member in union:
            together[member] = union
    return {frozenset(one) for one in together.values()}


@given(CROWDS, PAIRS)
def test_two_people_are_never_merged_and_all_that_are_merged_are_alike(groups, apart):
    done = consolidate(groups, all_pairs(groups), apart, POLICY)
    by_id = {group.unknown_id: group for group in groups}
    for cluster in clusters_of(groups, done.merges):
        for one in cluster:
            for other in cluster - {one}:
                assert frozenset((one, other)) not in apart
                likeness = linkage(by_id[one].exemplars, by_id[other].exemplars)
                assert likeness >= POLICY.merge_threshold
    for proposal in done.proposals:
        assert frozenset((proposal.unknown_id, proposal.other_id)) not in apart


@given(CROWDS, PAIRS, st.randoms(use_true_random=False))
def test_the_order_makes_no_difference(groups, apart, chance):
    pairs = all_pairs(groups)
    done = consolidate(groups, pairs, apart, POLICY)
    chance.shuffle(groups)
    chance.shuffle(pairs)
    pairs = [pair if chance.random() < 0.5 else pair[::-1] for pair in pairs]
    again = consolidate(groups, pairs, apart, POLICY)
    assert again.merges == done.merges
    assert clusters_of(groups, again.merges) == clusters_of(groups, done.merges)
    assert {(one.kind, one.unknown_id, one.other_id) for one in again.proposals} == {
        (one.kind, one.unknown_id, one.other_id) for one in done.proposals
    }


@given(CROWDS, PAIRS)
def test_the_older_one_is_left_and_one_that_was_merged_is_not_named_again(groups, apart):
    done = consolidate(groups, all_pairs(groups), apart, POLICY)
    age = {group.unknown_id: (group.first_seen_at, group.unknown_id) for group in groups}
    gone = set()
    for merge in done.merges:
        assert age[merge.kept] < age[merge.merged]
        assert not gone & {merge.kept, merge.merged}
        gone.add(merge.merged)
    for proposal in done.proposals:
        assert not gone & {proposal.unknown_id, proposal.other_id}


@given(CROWDS, PAIRS)
def test_doing_it_again_merges_nothing_more(groups, apart):
    done = consolidate(groups, all_pairs(groups), apart, POLICY)
    by_id = {group.unknown_id: group for group in groups}
    left = []
    for cluster in clusters_of(groups, done.merges):
        oldest = min(
            (by_id[one] for one in cluster), key=lambda one: (one.first_seen_at, one.unknown_id)
        )
        rows = np.concatenate([by_id[one].exemplars for one in sorted(cluster)])
        left.append((cluster, Group(oldest.unknown_id, oldest.first_seen_at, rows)))
    still = {
        frozenset((one.unknown_id, other.unknown_id))
        for mine, one in left
        for theirs, other in left
        if one is not other and any(frozenset((a, b)) in apart for a in mine for b in theirs)
    }
    groups = [group for _, group in left]
    assert consolidate(groups, all_pairs(groups), still, POLICY).merges == []


def unit(*values):
    vector = np.zeros(DIMENSION, np.float32)
    vector[: len(values)] = values
    return vector / np.linalg.norm(vector)


def a_group(number, *rows, minutes=0, **fields):
    seen = NOON + timedelta(minutes=minutes)
    return Group(ident(number), seen, np.stack(rows), **fields)


def test_one_pair_that_is_not_alike_makes_it_a_proposal():
    one = a_group(1, unit(1), unit(1, 0.9), minutes=5)
    other = a_group(2, unit(1, 0.1), unit(1, -0.9))
    done = consolidate([one, other], [(ident(1), ident(2))], set(), POLICY)
    assert done.merges == []
    ((kind, older, younger),) = {(p.kind, p.unknown_id, p.other_id) for p in done.proposals}
    assert (kind, older, younger) == ("merge", ident(2), ident(1))


def test_pairs_that_are_not_near_are_not_looked_at():
    groups = [a_group(1, unit(1)), a_group(2, unit(1))]
    assert consolidate(groups, [], set(), POLICY).merges == []
    done = consolidate(groups, [(ident(1), ident(2)), (ident(1), ident(9))], set(), POLICY)
    assert done.merges == [Merge(ident(1), ident(2), pytest.approx(1.0))]


@pytest.mark.parametrize("joined", [False, True])
def test_one_with_two_peaks_is_proposed_for_a_split_unless_an_operator_has_joined_it(joined):
    rows = [unit(1), unit(1, 0.1), unit(0, 1), unit(0.1, 1)]
    done = consolidate([a_group(1, *rows, joined=joined)], [], set(), POLICY)
    assert [one.kind for one in done.proposals] == ([] if joined else ["split"])


@pytest.mark.parametrize(
    "rows",
    [[unit(1), unit(0, 1)], [unit(1), unit(1), unit(1), unit(0, 1)]],
    ids=["few", "one odd"],
)
def test_too_little_is_not_split(rows):
    assert two_parts(np.stack(rows)) is None


def test_one_peak_is_not_split():
    rng = np.random.default_rng(3)
    rows = unit(1) + 0.2 * rng.normal(size=(12, DIMENSION))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    done = consolidate([Group(ident(1), NOON, rows)], [], set(), POLICY)
    assert done.proposals == []
