"""Maintenance of unknowns on the real stores: merges, proposals, and repairs after a crash."""

from datetime import timedelta
from uuid import UUID, uuid4

import numpy as np
import pytest

from domain.decisions.grouping import Assignment, Exemplar, first_unknown_id
from domain.personal_data import SYSTEM
from domain.user_errors import CannotRegroupError
from infra.maintenance.unknown_rounds import opened_unknown_rounds
from services.unknowns.unknown_grouping import join, part
from tests.contract.stored_people import young
from tests.contract.stored_unknowns import store_visits, stored_groups, with_unknowns


async def older(planted, one, other):
    """Have the first be seen before the second."""
    await planted.rows(
        "UPDATE unknowns SET first_seen_at = first_seen_at - $2::interval WHERE id = $1",
        one,
        timedelta(hours=1),
    )
    return one, other


async def test_two_that_are_alike_become_one_and_the_younger_leads_to_the_older(
    planted, rounds, unknowns, unknown_gallery, crowd
):
    one, first = await planted.unknown(0, 2)
    other, second = await planted.unknown(0, 2)
    stranger, _ = await planted.unknown(1)
    kept, merged = await older(planted, other, one)
    assert (await rounds.run()).merged == 1
    assert set((await stored_groups(unknowns, [*first, *second])).values()) == {kept}
    assert await planted.rows(
        "SELECT state, merged_into, visits, templates_due FROM unknowns WHERE id = $1", merged
    ) == [("merged", kept, 0, False)]
    assert await planted.rows("SELECT visits FROM unknowns WHERE id = $1", kept) == [(4,)]
    assert await planted.in_gallery() == {kept, stranger}
    (exemplars,) = (await unknown_gallery.exemplars_of(crowd.model, [kept, merged])).values()
    assert {one.visit_id for one in exemplars} == {one.visit.visit_id for one in [*first, *second]}
    assert await planted.rows(
        "SELECT body->>'unknown_id' FROM people_messages"
        " WHERE body->>'other_unknown_id' = $1 AND body->>'type' = 'fecapass.unknown.merged'",
        str(merged),
    ) == [(str(kept),)]
    assert (await rounds.run()).merged == 0
    # A worker that decided before the merge names the one that was merged.
    late, *_ = await store_visits(planted.records, planted.visits, planted.vectors, crowd, [0])
    given = Assignment(merged, 0.7, "joined")
    assert await unknowns.add(late.visit.visit_id, crowd.model, given, ()) == kept


async def test_two_people_stay_apart_through_merges(planted, rounds, keeper, unknowns):
    """Two were in one frame; what one of them is merged into is apart from the other."""
    one, _ = await planted.unknown(2)
    twin, _ = await planted.unknown(2, apart=[one])
    third, _ = await planted.unknown(2)
    assert await keeper.merge(one, twin) is None
    kept = await keeper.merge(one, third)
    assert await keeper.merge(kept, twin) is None
    await rounds.run()
    states = await planted.rows(
        "SELECT id, state FROM unknowns WHERE id = ANY($1::uuid[])", [kept, twin]
    )
    assert dict(states) == {kept: "open", twin: "open"}
    assert await keeper.apart([twin]) == {frozenset((kept, twin))}
    assert (
        await planted.rows(
            "SELECT kind FROM unknown_proposals WHERE unknown_id = $1 OR other_id = $1", twin
        )
        == []
    )


async def test_what_is_likely_is_proposed_and_what_has_two_peaks_too(planted, rounds, crowd):
    crowd.noise = 0.3
    crowd.rng = np.random.default_rng(40)
    loose = [await planted.unknown(3, 4) for _ in range(2)]
    crowd.noise = 0.02
    _, ours = await planted.unknown(4, 3)
    mixed, theirs = await planted.unknown(5, 3)
    async with planted.gallery.locked(crowd.model) as locked:
        await locked.write(
            mixed, [Exemplar(one.visit.visit_id, one.embedding) for one in [*ours, *theirs]]
        )
    await rounds.run()
    proposals = set(
        await planted.rows(
            "SELECT kind, unknown_id, other_id FROM unknown_proposals"
            " JOIN unknowns ON unknowns.id = unknown_id WHERE model = $1",
            crowd.model,
        )
    )
    assert ("split", mixed, mixed) in proposals
    pairs = {frozenset(pair) for kind, *pair in proposals if kind == "merge"}
    assert frozenset(unknown for unknown, _ in loose) in pairs


async def test_what_an_operator_has_joined_is_not_proposed_to_be_split(
    planted, rounds, keeper, crowd
):
    crowd.noise = 0.02
    one, _ = await planted.unknown(6, 3)
    other, _ = await planted.unknown(7, 3)
    kept = await keeper.merge(one, other, SYSTEM)
    assert (await rounds.run()).repaired >= 1
    assert await planted.in_gallery() == {kept}
    assert (
        await planted.rows("SELECT kind FROM unknown_proposals WHERE unknown_id = $1", kept) == []
    )


async def test_a_merge_that_a_crash_cut_off_is_finished(planted, rounds, keeper):
    one, _ = await planted.unknown(8)
    other, _ = await planted.unknown(8)
    kept = await keeper.merge(one, other)
    assert await planted.in_gallery() == {one, other}
    assert await rounds.repair() >= 1
    assert await planted.in_gallery() == {kept}
    assert await rounds.repair() == 0


async def test_templates_without_an_unknown_are_removed(planted, rounds, unknown_gallery, crowd):
    unknown, _ = await planted.unknown(10)
    lost = UUID(int=uuid4().int)
    async with unknown_gallery.locked(crowd.model) as locked:
        await locked.write(lost, [Exemplar(uuid4(), crowd.seen(11))])
    assert (await rounds.run()).removed >= 1
    assert await planted.in_gallery() == {unknown}


async def test_what_an_operator_has_parted_stays_apart_until_an_operator_joins_it(
    planted, rounds, keeper, unknowns, unknown_gallery, crowd
):
    unknown, stored = await planted.unknown(0, 4)
    moved = [one.visit.visit_id for one in stored[:2]]
    for wrong in ([], [uuid4()], [one.visit.visit_id for one in stored]):
        with pytest.raises(CannotRegroupError):
            await part(keeper, unknown_gallery, unknown, wrong, SYSTEM)
    other = await part(keeper, unknown_gallery, unknown, moved, SYSTEM)
    groups = await stored_groups(unknowns, stored)
    assert {one for one in groups if groups[one] == other} == set(moved)
    exemplars = await unknown_gallery.exemplars_of(crowd.model, [unknown, other])
    assert {one.visit_id for one in exemplars[other]} == set(moved)
    assert len(exemplars[unknown]) == 2
    assert await planted.rows(
        "SELECT visits, templates_due FROM unknowns WHERE id = ANY($1::uuid[])", [unknown, other]
    ) == [(2, False), (2, False)]
    # As like as can be, and they stay two.
    assert (await rounds.run()).merged == 0
    assert await stored_groups(unknowns, stored) == groups
    # A third one that is joined with one of them is apart from the other, too.
    third, _ = await planted.unknown(0, 1, apart=[other])
    kept = await join(keeper, unknown_gallery, unknown, third, SYSTEM)
    with pytest.raises(CannotRegroupError):
        await join(keeper, unknown_gallery, kept, other, SYSTEM)
    actions = await planted.rows(
        "SELECT action FROM audit WHERE target = ANY($1::text[]) ORDER BY id",
        [f"unknown:{one}" for one in {unknown, kept}],
    )
    assert [action for (action,) in actions] == ["unknown.part", "unknown.join"]


async def test_an_operator_may_join_what_an_operator_has_parted(
    planted, keeper, unknown_gallery, crowd
):
    unknown, stored = await planted.unknown(1, 3)
    other = await part(keeper, unknown_gallery, unknown, [stored[2].visit.visit_id], SYSTEM)
    kept = await join(keeper, unknown_gallery, other, unknown, SYSTEM)
    assert await planted.in_gallery() == {kept}
    (exemplars,) = (await unknown_gallery.exemplars_of(crowd.model, [unknown, other])).values()
    assert len(exemplars) == 3


async def test_a_part_that_a_crash_cut_off_is_finished(
    planted, rounds, keeper, unknown_gallery, crowd
):
    unknown, stored = await planted.unknown(2, 3)
    moved = [stored[1].visit.visit_id]
    other = await keeper.part(unknown, moved, SYSTEM)
    assert await planted.in_gallery() == {unknown}
    assert await rounds.repair() == 1
    exemplars = await unknown_gallery.exemplars_of(crowd.model, [unknown, other])
    assert [one.visit_id for one in exemplars[other]] == moved
    assert len(exemplars[unknown]) == 2


async def test_a_part_is_apart_from_those_of_its_own_frames_alone(
    planted, keeper, unknown_gallery, crowd
):
    """A visit of B was given to A, in a frame with A's neighbour: parted, it can be joined to B."""

    async def together(*people):
        return await store_visits(planted.records, planted.visits, planted.vectors, crowd, people)

    async def give(one, unknown):
        apart = await planted.unknowns.in_the_same_frames(one.visit.visit_id)
        given = Assignment(unknown, None, "joined")
        await planted.unknowns.add(one.visit.visit_id, crowd.model, given, apart)

    ours, neighbour = await together(0, 1)
    strayed, of_b = await together(2, 3)
    of_a = first_unknown_id(ours.visit.visit_id)
    beside_a = first_unknown_id(neighbour.visit.visit_id)
    beside_b = first_unknown_id(of_b.visit.visit_id)
    await unknown_gallery.ensure_model(crowd.model, ours.embedding.size)
    for one, unknown in ((ours, of_a), (neighbour, beside_a), (strayed, of_a), (of_b, beside_b)):
        await give(one, unknown)
    assert await keeper.apart([of_a]) == {frozenset((of_a, beside_a)), frozenset((of_a, beside_b))}
    # Of this one no face says any more with which visit it was in a frame.
    beside_both, _ = await planted.unknown(4, apart=[of_a])
    parted, _ = await planted.unknown(5)
    await planted.rows(
        "INSERT INTO unknown_pairs VALUES"
        " (LEAST($1::uuid, $2), GREATEST($1::uuid, $2), 'apart', 'operator')",
        of_a,
        parted,
    )

    other = await part(keeper, unknown_gallery, of_a, [strayed.visit.visit_id], SYSTEM)

    assert await keeper.apart([of_a, other]) == {
        frozenset(pair)
        for pair in (
            (of_a, other),
            (of_a, beside_a),
            (other, beside_b),
            (of_a, beside_both),
            (other, beside_both),
            (of_a, parted),
            (other, parted),
        )
    }
    with pytest.raises(CannotRegroupError):
        await join(keeper, unknown_gallery, of_a, beside_a, SYSTEM)
    with pytest.raises(CannotRegroupError):
        await join(keeper, unknown_gallery, other, beside_b, SYSTEM)
    kept = await join(keeper, unknown_gallery, of_a, beside_b, SYSTEM)
    assert frozenset((kept, beside_a)) in await keeper.apart([kept])


async def test_a_part_of_visits_that_the_template_is_not_made_of_gets_one_of_its_own(
    planted, rounds, keeper, unknown_gallery, crowd
):
    unknown, stored = await planted.unknown(3, 5)
    async with unknown_gallery.locked(crowd.model) as locked:
        kept = [Exemplar(one.visit.visit_id, one.embedding) for one in stored[:2]]
        await locked.write(unknown, kept)
    moved = stored[3:]
    # Of one of them the embeddings are gone.
    await rounds._sightings.delete_sightings(
        face
        for (face,) in await planted.rows(
            "SELECT face_id FROM visit_faces WHERE visit_id = $1", moved[1].visit.visit_id
        )
    )
    other = await part(
        keeper, unknown_gallery, unknown, [one.visit.visit_id for one in moved], SYSTEM
    )
    assert await planted.in_gallery() == {unknown}
    await rounds.repair()
    assert await planted.in_gallery() == {unknown, other}
    exemplars = await unknown_gallery.exemplars_of(crowd.model, [unknown, other])
    assert len(exemplars[unknown]) == 2
    (only,) = exemplars[other]
    assert only.visit_id == moved[0].visit.visit_id
    assert only.embedding == pytest.approx(moved[0].embedding, abs=1e-6)
    assert await rounds.repair() == 0


@pytest.mark.parametrize("why", ["no faces", "off"])
async def test_a_part_stays_without_a_template_where_none_can_or_may_be_made(
    planted, prepared, keeper, unknown_gallery, crowd, why
):
    unknown, stored = await planted.unknown(4, 3)
    async with unknown_gallery.locked(crowd.model) as locked:
        await locked.write(unknown, [Exemplar(stored[0].visit.visit_id, stored[0].embedding)])
    moved = [one.visit.visit_id for one in stored[1:]]
    if why == "no faces":
        await planted.rows("DELETE FROM visit_faces WHERE visit_id = ANY($1::uuid[])", moved)
    settings = with_unknowns(young(prepared), enabled=why != "off")
    await part(keeper, unknown_gallery, unknown, moved, SYSTEM)
    async with opened_unknown_rounds(settings) as rounds:
        await rounds.run()
        assert await rounds.repair() == 0
    assert await planted.in_gallery() == {unknown}


async def proposals_of(planted):
    """What an operator is asked about the unknowns of this test."""
    rows = await planted.rows(
        "SELECT kind, unknown_id, other_id FROM unknown_proposals"
        " JOIN unknowns ON unknowns.id = unknown_id WHERE model = $1",
        planted.crowd.model,
    )
    return {(kind, frozenset(pair)) for kind, *pair in rows}


async def test_what_changed_long_before_a_round_is_looked_at_once(planted, rounds, keeper, crowd):
    """As after an outage of the maintenance, that lasts longer than its interval."""
    for _ in range(2):
        await planted.unknown(5, 2)
    await planted.rows(
        "UPDATE unknowns SET consolidation_due_at = consolidation_due_at - interval '20 days'"
        " WHERE model = $1",
        crowd.model,
    )
    assert (await rounds.run()).merged == 1
    kept = (await planted.in_gallery()).pop()
    # What was merged is looked at again, and then nothing is left to do.
    await rounds.run()
    assert await keeper.changed(crowd.model, UUID(int=0), 9) == {}
    (late,) = await store_visits(planted.records, planted.visits, planted.vectors, crowd, [5])
    given = Assignment(kept, None, "joined")
    await planted.unknowns.add(late.visit.visit_id, crowd.model, given, ())
    assert set(await keeper.changed(crowd.model, UUID(int=0), 9)) == {kept}


async def test_what_changes_while_it_is_compared_is_looked_at_again(planted, keeper, crowd):
    unknown, stored = await planted.unknown(6, 2)
    seen = await keeper.changed(crowd.model, UUID(int=0), 9)
    await planted.unknowns.withdraw([stored[0].visit.visit_id])
    await keeper.consolidated(seen, [])
    assert set(await keeper.changed(crowd.model, UUID(int=0), 9)) == {unknown}


async def test_a_round_replaces_the_proposals_of_what_it_looks_at_alone(planted, rounds, crowd):
    crowd.noise = 0.3
    crowd.rng = np.random.default_rng(40)
    asked = frozenset([(await planted.unknown(3, 4))[0] for _ in range(2)])
    await rounds.run()
    assert await proposals_of(planted) == {("merge", asked)}
    # A third one that is like both of them, with what was asked before.
    third, _ = await planted.unknown(3, 4)
    far, _ = await planted.unknown(7)
    await planted.rows(
        "INSERT INTO unknown_proposals (unknown_id, other_id, kind, similarity)"
        " VALUES ($1, $2, 'merge', 0.6)",
        third,
        far,
    )
    await rounds.run()
    found = await proposals_of(planted)
    assert ("merge", asked) in found
    assert any(third in pair for _, pair in found), "it was compared with them"
    assert ("merge", frozenset((third, far))) not in found


async def test_a_proposal_about_an_unknown_that_is_put_aside_is_not_asked(
    planted, rounds, keeper, crowd
):
    crowd.noise = 0.3
    crowd.rng = np.random.default_rng(40)
    both = frozenset([(await planted.unknown(3, 4))[0] for _ in range(2)])
    await rounds.run()

    async def asked():
        return {frozenset((one.unknown_id, one.other_id)) for one in await keeper.proposals(9999)}

    assert both in await asked()
    await planted.rows("UPDATE unknowns SET state = 'dismissed' WHERE id = $1", min(both))
    assert both not in await asked()


async def test_only_a_visit_prolongs_the_retention_of_an_unknown(planted, keeper, crowd):
    long_ago = await planted.rows("SELECT now() - interval '20 days'")
    one, stored = await planted.unknown(8, 4)
    other, _ = await planted.unknown(8, 2)

    async def changed_at(unknown):
        return await planted.rows("SELECT changed_at FROM unknowns WHERE id = $1", unknown)

    async def age(unknown, days):
        await planted.rows(
            "UPDATE unknowns SET changed_at = $2::timestamptz - $3 * interval '1 day'"
            " WHERE id = $1",
            unknown,
            long_ago[0][0],
            days,
        )

    await age(one, 1)
    await age(other, 0)
    kept = await keeper.merge(one, other)
    assert await changed_at(kept) == long_ago, "that of the later visit"
    theirs = [one.visit.visit_id for one in stored]
    part = await keeper.part(kept, theirs[:2], SYSTEM)
    assert await changed_at(part) == long_ago
    await planted.unknowns.withdraw(theirs[3:])
    assert await changed_at(kept) == long_ago
    (late,) = await store_visits(planted.records, planted.visits, planted.vectors, crowd, [8])
    given = Assignment(kept, None, "joined")
    await planted.unknowns.add(late.visit.visit_id, crowd.model, given, ())
    assert await changed_at(kept) > long_ago
    # The tests of retention delete what is old.
    await planted.rows("UPDATE unknowns SET changed_at = now() WHERE model = $1", crowd.model)


async def test_what_is_merged_depends_on_what_a_match_of_the_model_takes(planted, rounds, crowd):
    await planted.rows(
        "INSERT INTO models (id, kind, sha256, mean, deviation, mirror, dimension, state,"
        " threshold) VALUES ($1, 'arcface', repeat('a', 64), $2, $2, false, $3, 'retired', 0.9499)",
        crowd.model,
        [1.0, 1.0, 1.0],
        16,
    )
    both = {(await planted.unknown(9))[0] for _ in range(2)}
    await rounds.run()
    assert await planted.in_gallery() == both
    await planted.rows("UPDATE models SET threshold = 0.4 WHERE id = $1", crowd.model)
    await planted.rows(
        "UPDATE unknowns SET consolidation_due_at = now() WHERE model = $1", crowd.model
    )
    await rounds.run()
    assert len(await planted.in_gallery()) == 1
