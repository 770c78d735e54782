"""What unknowns still have of a user is erased with the user, whether or not the agent runs."""

from datetime import timedelta
from uuid import uuid4

import pytest

from domain.decisions.corrections import CorrectionKind
from domain.decisions.grouping import Exemplar, template_of
from domain.events import utc_now
from domain.people.stored_corrections import CorrectionRequest
from domain.personal_data import SYSTEM, Cutoffs
from services.erasure import erase, look_for
from services.people.people_corrections import open_corrections
from sinks.stores import Stores
from tests.contract.stored_unknowns import stored_groups
from tests.stored_records import stored_user


@pytest.fixture
def stores(records, vectors, crops, recents):
    return Stores(records=records, vectors=vectors, crops=crops, recents=recents)


async def corrected_to_a_user(planted, stores, prepared, visits):
    """A person says of these visits whose they are; no worker reads it."""
    user = (await stored_user(planted.records, f"{uuid4()}@example.org")).id
    async with open_corrections(stores, prepared) as corrections:
        for one in visits:
            await corrections.make(
                CorrectionRequest(
                    kind=CorrectionKind.IS_USER,
                    user_id=user,
                    visit_id=one.visit.visit_id,
                    author=SYSTEM,
                )
            )
    return user


async def test_an_erasure_takes_the_visits_of_the_user_from_unknowns(
    planted, stores, prepared, rounds, unknowns, unknown_gallery, crowd
):
    unknown, stored = await planted.unknown(0, 3)
    single, only = await planted.unknown(1)
    user = await corrected_to_a_user(planted, stores, prepared, [stored[1], *only])
    found = {(one.store, one.what): one.found for one in (await look_for(stores, user)).checks}
    assert found["main", "visits of unknowns"] == found["vector", "embeddings of unknowns"] == 2

    receipt = await erase(stores, user, SYSTEM)

    assert receipt.complete
    removed = {(one.store, one.what): one.removed for one in receipt.checks}
    assert removed["main", "visits of unknowns"] == removed["vector", "embeddings of unknowns"] == 2
    left = [stored[0], stored[2]]
    assert await stored_groups(unknowns, [*stored, *only]) == {
        one.visit.visit_id: unknown for one in left
    }
    assert await planted.rows(
        "SELECT id, visits FROM unknowns WHERE id = ANY($1::uuid[])", [unknown, single]
    ) == [(unknown, 2)]
    exemplars = await unknown_gallery.exemplars_of(crowd.model, [unknown, single])
    assert [one.visit_id for one in exemplars.pop(unknown)] == sorted(
        one.visit.visit_id for one in left
    )
    assert not exemplars
    templates = {
        one.user_id: one.embedding for one in await unknown_gallery.changes(crowd.model, 0)
    }
    assert templates[single] is None
    assert templates[unknown] == pytest.approx(
        template_of([Exemplar(one.visit.visit_id, one.embedding) for one in left]), abs=1e-6
    )
    # Maintenance does not bring them back.
    await rounds.run()
    assert await planted.in_gallery() == {unknown}
    assert len((await unknown_gallery.exemplars_of(crowd.model, [unknown]))[unknown]) == 2


async def test_visits_that_are_too_old_count_no_more_and_an_unknown_goes_with_the_last(
    planted, records, vectors, unknowns, crowd
):
    unknown, stored = await planted.unknown(2, 3)
    single, only = await planted.unknown(3)
    old = [one.visit.visit_id for one in (*stored[:2], *only)]
    await planted.rows("DELETE FROM visit_faces WHERE visit_id = ANY($1::uuid[])", old)
    edge = utc_now() - timedelta(days=4000)
    await planted.rows(
        "UPDATE visits SET created_at = $2 WHERE visit_id = ANY($1::uuid[])",
        old,
        edge - timedelta(days=1),
    )
    before = await planted.rows("SELECT changed_at FROM unknowns WHERE id = $1", unknown)

    gone = await records.expire(Cutoffs(edge, None, 100))

    assert (gone.counts["visits"], gone.counts["unknowns"]) == (3, 1)
    assert gone.elsewhere.unknown_ids == {single}
    assert await planted.rows(
        "SELECT id, visits, state FROM unknowns WHERE id = ANY($1::uuid[])", [unknown, single]
    ) == [(unknown, 1, "open")]
    assert await planted.rows("SELECT changed_at FROM unknowns WHERE id = $1", unknown) == before
    assert await stored_groups(unknowns, stored) == {stored[2].visit.visit_id: unknown}
    await vectors.expire(Cutoffs(edge, None, 100, gone.elsewhere))
    assert await planted.in_gallery() == {unknown}
