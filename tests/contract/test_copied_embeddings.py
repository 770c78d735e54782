"""Faces that are embedded by a further model keep their ids, their users and their limits."""

from datetime import timedelta
from uuid import UUID, uuid4

import numpy as np
import pytest

from config.settings import ModelSettings
from domain.decisions.model_change import EmbedderFile, ModelChangeError, ModelGate
from domain.personal_data import DataSubject
from domain.store_rows import Sighting
from infra.models.model_table import ReadEmbedder, open_table
from ml.runtime.model_registry import default_policy
from services.model_changes import add_model
from sinks.main.database_sessions import Databases
from sinks.vector.copied_embeddings import Coverage
from tests.contract.builders import NOON, a_vector, unique

OLD, NEW = 16, 24
FIRST = UUID(int=0)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
async def models(vectors):
    names = unique("old"), unique("new")
    for name, dimension in zip(names, (OLD, NEW), strict=True):
        await vectors.ensure_model(name, dimension)
    return names


async def gallery(vectors, model):
    return {
        user: embedding
        async for part in vectors.load(model)
        for user, embedding in zip(part.user_ids, part.embeddings, strict=True)
    }


async def missing(vectors, model, kind, wanted, limit=2, since=None):
    """All missing faces, page by page, of those that a test has made."""
    found, last = [], FIRST
    while page := await vectors.missing(model, kind, last, limit, since):
        assert [one.face_id for one in page] == sorted(one.face_id for one in page)
        last = page[-1].face_id
        found += [one for one in page if one.face_id in wanted]
    return found


async def test_a_template_gets_a_second_one_and_both_leave_together(vectors, models, rng):
    old, new = models
    user, faces = uuid4(), [uuid4(), uuid4()]
    for face in faces:
        await vectors.enrol(face, user, old, a_vector(rng, OLD), NOON)
    assert {one.face_id for one in await missing(vectors, new, "template", faces)} == set(faces)
    embedding = a_vector(rng, NEW)
    assert await vectors.copy_template(faces[0], new, embedding)
    assert not await vectors.copy_template(faces[0], new, a_vector(rng, NEW))
    np.testing.assert_allclose((await gallery(vectors, new))[user], embedding, atol=1e-6)
    (left,) = await missing(vectors, new, "template", faces)
    assert (left.face_id, left.user_id, left.captured_at) == (faces[1], user, NOON)
    await vectors.remove_template(faces[0])
    assert user not in await gallery(vectors, new)
    assert (await gallery(vectors, old))[user].size == OLD
    assert not await vectors.copy_template(faces[0], new, embedding), "its template was removed"


async def test_the_erased_and_the_suspended_stay_out(vectors, models, rng):
    old, new = models
    erased, suspended = uuid4(), uuid4()
    faces = {erased: uuid4(), suspended: uuid4()}
    for user, face in faces.items():
        await vectors.enrol(face, user, old, a_vector(rng, OLD), NOON)
    await vectors.erase(DataSubject(erased))
    await vectors.suspend_user(suspended)
    assert not await vectors.copy_template(faces[erased], new, a_vector(rng, NEW))
    embedding = a_vector(rng, NEW)
    assert await vectors.copy_template(faces[suspended], new, embedding)
    assert await gallery(vectors, new) == {}
    await vectors.resume_user(suspended)
    found = await gallery(vectors, new)
    assert found.keys() == {suspended}
    np.testing.assert_allclose(found[suspended], embedding, atol=1e-6)


async def test_sightings_are_missing_by_their_time(vectors, models, rng):
    old, new = models
    seen = [
        Sighting(
            face_id=uuid4(),
            user_id=None,
            embedding=a_vector(rng, OLD),
            captured_at=NOON + timedelta(days=400, seconds=number),
        )
        for number in range(3)
    ]
    faces = {one.face_id for one in seen}
    await vectors.add_sightings(old, seen)
    since = seen[1].captured_at
    before = await vectors.coverage(new, "sighting", since)
    late = await missing(vectors, new, "sighting", faces, since=since)
    assert {one.face_id for one in late} == {one.face_id for one in seen[1:]}
    copy = Sighting(
        face_id=seen[1].face_id,
        user_id=None,
        embedding=a_vector(rng, NEW),
        captured_at=since,
    )
    await vectors.add_sightings(new, [copy])
    (left,) = await missing(vectors, new, "sighting", faces, since=since)
    assert left.face_id == seen[2].face_id
    assert await vectors.coverage(new, "sighting", since) == Coverage(before.faces, 1)


async def test_the_templates_of_both_are_those_of_the_gallery(vectors, models, rng):
    old, new = models
    both, half, gone = uuid4(), uuid4(), uuid4()
    faces = {user: [uuid4(), uuid4()] for user in (both, half, gone)}
    embeddings = {}
    for user, own in faces.items():
        for face in own:
            embeddings[face] = a_vector(rng, OLD), a_vector(rng, NEW)
            await vectors.enrol(face, user, old, embeddings[face][0], NOON)
    for face in (*faces[both], faces[half][0], *faces[gone]):
        assert await vectors.copy_template(face, new, embeddings[face][1])
    await vectors.suspend_user(gone)
    found = await vectors.templates_of_both(old, new)
    assert (found.users, found.photos) == (2, 4)
    assert sorted(found.user_ids) == sorted([both, both, half])
    for user, first, second in zip(found.user_ids, found.first, found.second, strict=True):
        pairs = [embeddings[face] for face in faces[user]]
        assert any(np.allclose(first, one) and np.allclose(second, other) for one, other in pairs)
    empty = await vectors.templates_of_both(old, unique("none"))
    assert (empty.users, empty.photos, len(empty.user_ids), len(empty.first)) == (2, 4, 0, 0)


async def test_a_row_has_threshold_and_margin_before_its_model_serves(prepared):
    """But that of the settings' model: for it, the settings count."""
    sha256 = uuid4().hex * 2
    own = ModelSettings(embedder="arcface", embedder_sha256=sha256, match_threshold=0.1)
    ids = f"arcface-{sha256[:8]}", unique("shadow")
    file = EmbedderFile("arcface", sha256, (0.0,) * 3, (1.0,) * 3, mirror=False)
    async with open_table(prepared.model_copy(update={"models": own})) as table:
        added = [await table.add(ReadEmbedder(one, file, None, NEW)) for one in ids]
        for one in ids:
            await table.retire(one)
    assert [one.threshold for one in added] == [None, default_policy(ids[1]).threshold]
    assert [one.margin for one in added] == [None, default_policy(ids[1]).margin]


async def test_a_report_compares_a_shadow_with_the_embedder_of_the_settings(prepared, vectors, rng):
    sha256 = rng.bytes(32).hex()
    old, new = f"arcface-{sha256[:8]}", unique("shadow")
    own = ModelSettings(embedder="arcface", embedder_sha256=sha256)
    settings = prepared.model_copy(update={"models": own})
    for name, dimension in ((old, OLD), (new, NEW)):
        await vectors.ensure_model(name, dimension)
    users = [uuid4() for _ in range(4)]
    faces = [(user, uuid4()) for user in users for _ in range(2)]
    for user, face in faces:
        await vectors.enrol(face, user, old, a_vector(rng, OLD), NOON)
    file = EmbedderFile("arcface", sha256, (0.0,) * 3, (1.0,) * 3, mirror=False)
    async with Databases(settings) as databases, databases.main.begin() as session:
        await add_model(session, "tests", new, file, NEW)
    async with open_table(settings) as table:
        with pytest.raises(ModelChangeError, match="there is no model"):
            await table.report(unique("none"), ModelGate())
        with pytest.raises(ModelChangeError, match="backfill"):
            await table.report(new, ModelGate())
        for _, face in faces[:6]:
            await vectors.copy_template(face, new, a_vector(rng, NEW))
        found = await table.report(new, ModelGate())
        await table.retire(new)
        with pytest.raises(ModelChangeError, match="is retired"):
            await table.report(new, ModelGate())
    assert (found.serving.model, found.new.model) == (old, new)
    assert (found.users, found.photos, found.embedded) == (4, 8, 6)
    assert found.users_without == [users[3]]
    assert found.new.fnir.probes == 6
    assert len(found.failures) >= 3
