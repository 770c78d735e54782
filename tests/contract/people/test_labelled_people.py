"""Corrections as labels: what `fecapass evaluate --from-production` enrols and searches."""

from collections import Counter

import numpy as np
import pytest

from domain.decisions.matching import MatchPolicy
from infra.evaluation.evaluation import evaluate
from infra.operations.labelled_people import production_roles
from ml.evaluation.open_set import fused
from sinks.main.database_sessions import Databases
from tests.contract.people.corrected_people import (
    IS,
    ME,
    NOT,
    a_photo,
    a_sighting,
    a_stored_visit,
    gallery,
    request,
)


@pytest.fixture
async def roles_of(world):
    async with Databases(world.stored.prepared) as databases:

        async def read():
            return await production_roles(databases, world.stored.vectors, world.stored.model)

        yield read


def faces(reads):
    return {str(one.photo.path): one.photo.person for one in reads}


async def test_named_faces_are_probes_and_denied_ones_are_of_unknown_people(world, roles_of):
    ada, bea, cid = [await world.stored.a_user() for _ in range(3)]
    for user in (ada, bea):
        await a_photo(world, user)
    named, denied, other = [await a_sighting(world, ada) for _ in range(3)]
    without_photo = await a_sighting(world, ada)
    await world.corrections.make(request(IS, bea, face_id=named.face_id))
    await world.corrections.make(request(NOT, ada, face_id=denied.face_id))
    await world.corrections.make(request(IS, cid, face_id=without_photo.face_id))
    found = await roles_of()
    assert faces(found.probes) == {str(named.face_id): str(bea)}
    assert faces(found.unknown) == {
        str(denied.face_id): f"visit {denied.face_id}",
        str(without_photo.face_id): str(cid),
    }
    assert {ada.hex, bea.hex} == {user.replace("-", "") for user in found.enrolled}
    assert str(other.face_id) not in faces(found.probes)
    assert {one.photo.camera for one in found.probes} == {named.camera_id}


async def test_what_is_undone_is_no_label(world, roles_of):
    ada, bea = [await world.stored.a_user() for _ in range(2)]
    for user in (ada, bea):
        await a_photo(world, user)
    seen = await a_sighting(world, ada)
    for kind, user in ((IS, bea), (NOT, ada)):
        made = await world.corrections.make(request(kind, user, face_id=seen.face_id))
        await world.corrections.undo(made.id, ME)
        found = await roles_of()
        assert (found.probes, found.unknown) == ([], []), kind


async def test_the_faces_of_a_visit_are_one_person(world, roles_of):
    ada = await world.stored.a_user()
    await a_photo(world, ada)
    seen = [await a_sighting(world, ada, camera="door", seconds=second) for second in range(3)]
    visit = await a_stored_visit(world, ada, seen)
    await world.corrections.make(request(NOT, ada, visit_id=visit.visit_id))
    found = await roles_of()
    assert Counter(faces(found.unknown).values()) == {f"visit {visit.visit_id}": 3}


async def test_the_templates_are_those_of_the_gallery(world, roles_of):
    ada = await world.stored.a_user()
    for _ in range(3):
        await a_photo(world, ada)
    (reads,) = (await roles_of()).enrolled.values()
    template = fused(
        np.stack([np.frombuffer(one.faces[0].embedding, "<f4") for one in reads]),
        np.zeros(3, np.int64),
        np.array([one.weight for one in reads]),
    ).templates[0]
    (stored,) = (await gallery(world)).values()
    np.testing.assert_allclose(template, np.frombuffer(stored, "<f4"), atol=1e-6)


async def test_they_are_evaluated_as_photos_are(world, roles_of):
    people = [await world.stored.a_user() for _ in range(4)]
    for user in people:
        await a_photo(world, user)
    looks = {}
    async for chunk in world.stored.vectors.load(world.stored.model):
        looks |= dict(zip(chunk.user_ids, chunk.embeddings, strict=True))
    for user, look in [*looks.items(), (people[0], looks[people[1]])]:
        seen = await a_sighting(world, None, decision="below_threshold", looks=look.tobytes())
        await world.corrections.make(request(IS, user, face_id=seen.face_id))
    found = evaluate(await roles_of(), model=world.stored.model, policy=MatchPolicy(0.5, 0.05))
    assert (found.enrolled_people, found.fnir.probes) == (4, 5)
    assert found.fnir.value == pytest.approx(0.2)
    assert [one.measure for one in found.discards] == []
