"""What becomes of a visit whose unknown is another one by now, or a user; on the real stores."""

from uuid import uuid4

import pytest

from domain.decisions.grouping import Assignment, Exemplar, first_unknown_id
from domain.personal_data import SYSTEM
from sinks.main.people.correction_store import CorrectionStore
from sinks.main.unknowns.unknown_corrections import NewName
from tests.contract.people.corrected_people import (
    IS,
    ME,
    a_sighting,
    a_stored_visit,
    request,
)
from tests.contract.stored_unknowns import message, store_visits, stored_groups, unknowns_stage
from tests.stored_records import stored_user


@pytest.fixture
async def corrections(prepared):
    async with CorrectionStore(prepared.main_db) as store:
        yield store


async def promoted_only(planted, unknown):
    """As a promotion leaves it that ends before the vector database follows."""
    user = (await stored_user(planted.records, f"{uuid4()}@example.org")).id
    await planted.rows(
        "UPDATE unknowns SET state = 'promoted', user_id = $2, templates_due = true WHERE id = $1",
        unknown,
        user,
    )
    return user


async def test_a_merge_that_was_cut_off_does_not_bring_a_promoted_unknown_back(
    planted, rounds, keeper, unknown_gallery, corrections
):
    one, _ = await planted.unknown(0)
    other, _ = await planted.unknown(0)
    kept = await keeper.merge(one, other)
    await corrections.promote(kept, NewName(full_name="Ada"), SYSTEM)
    await rounds.run()
    assert await planted.in_gallery() == set()
    # Those of the promoted one are set aside, for an undo.
    left = await unknown_gallery.exemplars_of(planted.crowd.model, [one, other])
    assert left.keys() == {kept}


async def test_a_template_of_an_unknown_who_is_a_user_or_another_one_is_put_right(
    planted, rounds, keeper, unknown_gallery, crowd
):
    """As if the templates had been restored from a backup of before."""
    user, theirs = await planted.unknown(1)
    one, first = await planted.unknown(2, 2)
    other, second = await planted.unknown(2, 2)
    kept = await keeper.merge(one, other)
    await promoted_only(planted, user)
    await rounds.repair()
    assert await planted.in_gallery() == {kept}
    merged = one if kept == other else other
    visits = first if merged == one else second
    async with unknown_gallery.locked(crowd.model) as locked:
        for unknown, stored in ((user, theirs), (merged, visits)):
            exemplars = [Exemplar(one.visit.visit_id, one.embedding) for one in stored]
            await locked.write(unknown, exemplars)
    assert (await rounds.run()).removed == 2
    assert await planted.in_gallery() == {kept}
    exemplars = await unknown_gallery.exemplars_of(crowd.model, [user, one, other])
    assert exemplars.keys() == {user, kept}, "those of the user are set aside"
    assert {each.visit_id for each in exemplars[kept]} == {
        each.visit.visit_id for each in (*first, *second)
    }


async def test_a_visit_without_a_row_follows_its_unknown_into_another_one(
    planted, rounds, keeper, unknown_gallery, crowd
):
    """A worker has written the template, and then another one has merged the unknown."""
    one, first = await planted.unknown(3)
    other, second = await planted.unknown(3)
    (late,) = await store_visits(planted.records, planted.visits, planted.vectors, crowd, [3])
    kept = await keeper.merge(one, other)
    merged, stored = (one, first) if kept == other else (other, second)
    async with unknown_gallery.locked(crowd.model) as locked:
        await locked.write(
            merged, [Exemplar(each.visit.visit_id, each.embedding) for each in (*stored, late)]
        )
    assert await rounds.repair() == 1
    assert await planted.in_gallery() == {kept}
    given = Assignment(merged, None, "joined")
    assert await planted.unknowns.add(late.visit.visit_id, crowd.model, given, ()) == kept


async def test_a_visit_is_not_given_to_an_unknown_who_is_a_user_by_now(
    planted, unknowns, unknown_gallery, vectors, crowd
):
    """The gallery does not say so yet: the visit is left out, and the user is recognised next."""
    unknown, stored = await planted.unknown(4, 2)
    await promoted_only(planted, unknown)
    (late,) = await store_visits(planted.records, planted.visits, vectors, crowd, [4])
    with unknowns_stage(unknowns, unknown_gallery, vectors) as stage:
        assert await stage.process([message(late.visit)]) == {}
    assert await stored_groups(unknowns, [late]) == {}
    (exemplars,) = (await unknown_gallery.exemplars_of(crowd.model, [unknown])).values()
    assert {one.visit_id for one in exemplars} == {one.visit.visit_id for one in stored}
    # What was the unknown's before is still said to be.
    visit = stored[0].visit.visit_id
    given = Assignment(unknown, None, "joined")
    assert await unknowns.add(visit, crowd.model, given, ()) == unknown


@pytest.mark.parametrize("known", [False, True], ids=["begins", "joins"])
async def test_a_visit_that_is_a_users_by_now_is_not_given_to_an_unknown(
    planted, unknowns, unknown_gallery, vectors, crowd, known
):
    """The message that it is an unknown's comes late: a person has said whose it is."""
    before = {(await planted.unknown(5))[0]} if known else set()
    (late,) = await store_visits(planted.records, planted.visits, vectors, crowd, [5])
    user = (await stored_user(planted.records, f"{uuid4()}@example.org")).id
    await planted.rows(
        "UPDATE visits SET user_id = $2 WHERE visit_id = $1", late.visit.visit_id, user
    )
    with unknowns_stage(unknowns, unknown_gallery, vectors) as stage:
        assert await stage.process([message(late.visit)]) == {}
    assert await stored_groups(unknowns, [late]) == {}
    assert await planted.in_gallery() == before
    assert (
        await planted.rows(
            "SELECT id FROM unknowns WHERE id = $1", first_unknown_id(late.visit.visit_id)
        )
        == []
    )


async def test_a_visit_that_was_deleted_leaves_nothing_in_a_template(
    planted, unknowns, unknown_gallery, vectors, crowd
):
    unknown, stored = await planted.unknown(6)
    (late,) = await store_visits(planted.records, planted.visits, vectors, crowd, [6])

    class Deleted:
        """The store, and a retention that runs between a look and the write."""

        def __getattr__(self, name):
            return getattr(unknowns, name)

        async def add(self, *arguments):
            await planted.rows("DELETE FROM visits WHERE visit_id = $1", late.visit.visit_id)
            return await unknowns.add(*arguments)

    with unknowns_stage(Deleted(), unknown_gallery, vectors) as stage:
        assert await stage.process([message(late.visit)]) == {}
    (exemplars,) = (await unknown_gallery.exemplars_of(crowd.model, [unknown])).values()
    assert [one.visit_id for one in exemplars] == [stored[0].visit.visit_id]


async def test_the_first_unknown_that_a_visit_was_given_to_has_it(planted, unknowns, crowd):
    one, stored = await planted.unknown(7)
    other, _ = await planted.unknown(8)
    visit = stored[0].visit.visit_id
    late = Assignment(other, 0.9, "joined")
    assert await unknowns.add(visit, crowd.model, late, ()) == one
    assert await stored_groups(unknowns, stored) == {visit: one}
    assert await planted.rows(
        "SELECT visits FROM unknowns WHERE id = ANY($1::uuid[])", [one, other]
    ) == [(1,), (1,)]


async def test_a_face_that_a_person_has_named_says_nothing_of_the_unknown(world, unknowns):
    user = await world.stored.a_user()
    seen = [
        await a_sighting(world, None, camera="gate", seconds=second, decision="below_threshold")
        for second in range(3)
    ]
    visit = await a_stored_visit(world, None, seen)
    named, denied, other = (one.face_id for one in seen)
    assert await faces_of(unknowns, visit) == {named, denied, other}
    await world.corrections.make(request(IS, user, face_id=named))
    assert await faces_of(unknowns, visit) == {denied, other}
    made = await world.corrections.make(request(IS, user, face_id=denied))
    await world.corrections.undo(made.id, ME)
    assert await faces_of(unknowns, visit) == {denied, other}


async def faces_of(unknowns, visit):
    return {one.face_id for one in await unknowns.evidence(visit.visit_id, 0.0, 60)}
