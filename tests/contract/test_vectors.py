import asyncio
from datetime import timedelta
from uuid import uuid4

import asyncpg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.personal_data import DataSubject
from domain.store_rows import EnrolStatus, Sighting
from sinks.store_errors import StoreRejected, StoreUnavailable
from sinks.vector.partitions import partition_name
from sinks.vector.sighting_store import PLAN_EACH, SIMILAR_SIGHTINGS
from sinks.vector.vector_database import is_recent
from sinks.vector.vector_format import encode_vector
from sinks.vector.vector_store import Vectors
from tests.contract.builders import NOON, a_vector, unique

DIMENSION = 16


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
async def model(vectors):
    name = unique("model")
    assert await vectors.ensure_model(name, DIMENSION)
    return name


async def loaded(vectors, model, chunk=1000):
    people, revision = {}, None
    async for part in vectors.load(model, chunk):
        assert part.embeddings.dtype == np.float32
        assert part.embeddings.shape == (len(part.user_ids), DIMENSION)
        assert revision in {None, part.revision}
        revision = part.revision
        people.update(zip(part.user_ids, part.embeddings, strict=True))
    assert part.total == len(people)
    return revision, people


def a_sighting(rng, user_id=None, seconds=0, dimension=DIMENSION):
    return Sighting(
        face_id=uuid4(),
        user_id=user_id,
        embedding=a_vector(rng, dimension),
        captured_at=NOON + timedelta(seconds=seconds),
    )


async def test_a_model_is_created_once(vectors, model):
    assert not await vectors.ensure_model(model, DIMENSION)
    with pytest.raises(StoreRejected, match="dimension 16, not 17"):
        await vectors.ensure_model(model, DIMENSION + 1)


async def test_a_model_is_created_by_one_of_many_and_may_have_any_name(vectors):
    name = unique('Röbel\'s "1"; DROP TABLE gallery; --\\ %I')
    made = await asyncio.gather(*(vectors.ensure_model(name, 512) for _ in range(4)))
    assert sorted(made) == [False, False, False, True]


async def test_an_empty_gallery_has_a_revision(vectors, model):
    assert await loaded(vectors, model) == (0, {})


async def test_a_model_that_is_not_set_up_is_unavailable(vectors, rng):
    with pytest.raises(StoreUnavailable, match="init-db"):
        await vectors.enrol(uuid4(), uuid4(), "unknown model", a_vector(rng, 4), NOON)
    with pytest.raises(StoreUnavailable, match="init-db"):
        await loaded(vectors, "unknown model")


async def test_enrolling_twice_changes_nothing_the_second_time(vectors, model, rng):
    face, user, vector = uuid4(), uuid4(), a_vector(rng, DIMENSION)
    first = await vectors.enrol(face, user, model, vector, NOON)
    assert (first.status, first.photos, first.revision) == (EnrolStatus.ENROLLED, 1, 1)
    again = await vectors.enrol(face, user, model, a_vector(rng, DIMENSION), NOON)
    assert (again.status, again.photos, again.revision) == (EnrolStatus.UNCHANGED, 1, 1)
    revision, people = await loaded(vectors, model)
    assert revision == 1
    np.testing.assert_allclose(people[user], vector, atol=1e-6)


async def test_chunks_contain_all_users(vectors, model, rng):
    users = {uuid4(): a_vector(rng, DIMENSION) for _ in range(10)}
    for user, vector in users.items():
        await vectors.enrol(uuid4(), user, model, vector, NOON)
    for chunk in (1, 3, 5, 10, 11):
        revision, people = await loaded(vectors, model, chunk)
        assert revision == 10
        assert people.keys() == users.keys()
        for user, vector in users.items():
            np.testing.assert_allclose(people[user], vector, atol=1e-6)


async def test_changes_are_read_in_order_and_once_for_each_user(vectors, model, rng):
    first, second = uuid4(), uuid4()
    for user in (first, second, first):
        await vectors.enrol(uuid4(), user, model, a_vector(rng, DIMENSION), NOON)
    changes = await vectors.changes(model, 0)
    assert [(change.revision, change.user_id) for change in changes] == [(2, second), (3, first)]
    assert [change.revision for change in await vectors.changes(model, 2)] == [3]
    assert [change.revision for change in await vectors.changes(model, 0, limit=1)] == [2]
    assert await vectors.changes(model, 3) == []
    _, people = await loaded(vectors, model)
    for change in changes:
        np.testing.assert_array_equal(change.embedding, people[change.user_id])


async def test_a_follower_misses_nothing_while_many_enrol(vectors, model, rng):
    users = [uuid4() for _ in range(12)]
    enrolments = asyncio.gather(
        *(vectors.enrol(uuid4(), u, model, a_vector(rng, DIMENSION), NOON) for u in users * 3)
    )
    seen, revision = {}, 0
    while not enrolments.done() or await vectors.changes(model, revision):
        for change in await vectors.changes(model, revision, limit=2):
            assert change.revision > revision
            revision = change.revision
            seen[change.user_id] = change.embedding
        await asyncio.sleep(0)
    await enrolments
    final, people = await loaded(vectors, model)
    assert (revision, final) == (36, 36)
    assert seen.keys() == people.keys() == set(users)
    for user in users:
        np.testing.assert_array_equal(seen[user], people[user])


async def test_photos_of_one_person_enrolled_at_once_all_count(vectors, model, rng):
    user, photos = uuid4(), [a_vector(rng, DIMENSION) for _ in range(8)]
    outcomes = await asyncio.gather(
        *(vectors.enrol(uuid4(), user, model, photo, NOON) for photo in photos)
    )
    assert sorted(outcome.photos for outcome in outcomes) == list(range(1, 9))
    mean = np.mean(photos, axis=0)
    _, people = await loaded(vectors, model)
    np.testing.assert_allclose(people[user], mean / np.linalg.norm(mean), atol=1e-6)


async def test_a_user_leaves_with_the_last_template_and_may_return(vectors, model, rng):
    user, faces = uuid4(), [uuid4(), uuid4()]
    kept = a_vector(rng, DIMENSION)
    await vectors.enrol(faces[0], user, model, kept, NOON)
    await vectors.enrol(faces[1], user, model, a_vector(rng, DIMENSION), NOON)
    state = await vectors.remove_template(faces[1])
    assert (state.photos, state.revision) == (1, 3)
    np.testing.assert_allclose((await loaded(vectors, model))[1][user], kept, atol=1e-6)

    assert (await vectors.remove_template(faces[0])).photos == 0
    assert await vectors.remove_template(faces[0]) is None
    assert await loaded(vectors, model) == (4, {})
    assert [(c.user_id, c.embedding) for c in await vectors.changes(model, 3)] == [(user, None)]

    back = await vectors.enrol(uuid4(), user, model, a_vector(rng, DIMENSION), NOON)
    assert back.status is EnrolStatus.ENROLLED


async def test_an_erased_user_cannot_return(vectors, model, rng):
    other_model = unique("model")
    await vectors.ensure_model(other_model, DIMENSION)
    user, other = uuid4(), uuid4()
    for who in (user, user, other):
        await vectors.enrol(uuid4(), who, model, a_vector(rng, DIMENSION), NOON)
    seen = [a_sighting(rng, who) for who in (user, user, other)]
    await vectors.add_sightings(model, seen)

    erased = await vectors.erase(DataSubject(user))
    assert erased.counts == {
        "templates": 2,
        "gallery entries": 1,
        "links of sightings": 2,
        "embeddings of unknowns": 0,
    }
    assert (await loaded(vectors, model))[1].keys() == {other}
    assert [(c.user_id, c.embedding) for c in await vectors.changes(model, 3)] == [(user, None)]

    for late in (model, other_model):
        outcome = await vectors.enrol(uuid4(), user, late, a_vector(rng, DIMENSION), NOON)
        assert outcome.status is EnrolStatus.ERASED
    late = a_sighting(rng, user)
    await vectors.add_sightings(model, [late])
    found = await vectors.similar_sightings(late.embedding, model, 10)
    assert {s.face_id: s.user_id for s in found} == {
        seen[0].face_id: None, seen[1].face_id: None, seen[2].face_id: other, late.face_id: None,
    }  # fmt: skip

    assert (await vectors.erase(DataSubject(user))).total == 0
    assert (await loaded(vectors, other_model))[0] == 1


async def test_an_erased_user_stays_erased_for_a_later_model(vectors, rng):
    """Also if there was no gallery at the time of the erasure."""
    user, model = uuid4(), unique("model")
    await vectors.erase(DataSubject(user))
    await vectors.ensure_model(model, DIMENSION)
    outcome = await vectors.enrol(uuid4(), user, model, a_vector(rng, DIMENSION), NOON)
    assert outcome.status is EnrolStatus.ERASED
    late = a_sighting(rng, user)
    await vectors.add_sightings(model, [late])
    (found,) = await vectors.similar_sightings(late.embedding, model, 1)
    assert found.user_id is None
    assert await vectors.is_erased(user)
    assert not await vectors.is_erased(uuid4())


async def test_an_enrolment_during_an_erasure_is_erased_or_refused(vectors, rng):
    """The model is created during the erasure, so that its head cannot be locked yet."""

    async def enrol(user, model):
        await vectors.ensure_model(model, DIMENSION)
        await vectors.enrol(uuid4(), user, model, a_vector(rng, DIMENSION), NOON)

    for _ in range(20):
        user, model = uuid4(), unique("model")
        await asyncio.gather(
            enrol(user, model), vectors.erase(DataSubject(user)), enrol(user, model)
        )
        assert (await vectors.traces(DataSubject(user))).total == 0


async def test_an_erasure_waits_for_sightings_that_are_being_written(vectors, model, rng, prepared):
    user = uuid4()
    connection = await asyncpg.connect(prepared.vector_db.dsn)
    transaction = connection.transaction()
    await transaction.start()
    sighting = a_sighting(rng, user)
    await connection.execute(
        "INSERT INTO face_embeddings (face_id, model, user_id, kind, embedding, captured_at)"
        " VALUES ($1, $2, $3, 'sighting', ($4::float4[])::vector, $5)",
        sighting.face_id, model, user, sighting.embedding.tolist(), NOON,
    )  # fmt: skip
    erasing = asyncio.create_task(vectors.erase(DataSubject(user)))
    await asyncio.sleep(0.1)
    assert not erasing.done()
    await transaction.commit()
    await connection.close()
    assert (await erasing).counts["links of sightings"] == 1


async def test_sightings_are_read_by_face_and_model(vectors, model, rng):
    seen, other, erased = (a_sighting(rng) for _ in range(3))
    await vectors.add_sightings(model, [seen, other, erased])
    await vectors.delete_sightings([erased.face_id])
    template = uuid4()
    await vectors.enrol(template, uuid4(), model, a_vector(rng, DIMENSION), NOON)
    ids = [seen.face_id, seen.face_id, erased.face_id, template, uuid4()]
    found = await vectors.sightings_by_id(model, ids)
    assert found.keys() == {seen.face_id}
    assert found[seen.face_id].dtype == np.float32
    np.testing.assert_array_equal(found[seen.face_id], seen.embedding)
    assert await vectors.sightings_by_id("unknown model", ids) == {}
    assert await vectors.sightings_by_id(model, []) == {}


async def test_sightings_are_found_best_first(vectors, model, rng):
    sightings = [a_sighting(rng, seconds=n) for n in range(200)]
    await vectors.add_sightings(model, sightings)
    await vectors.add_sightings(model, sightings[:50])
    probe = a_vector(rng, DIMENSION)
    truth = sorted(sightings, key=lambda s: -float(s.embedding @ probe))
    found = await vectors.similar_sightings(probe, model, 20)
    assert [s.face_id for s in found] == [s.face_id for s in truth[:20]]
    np.testing.assert_allclose(
        [s.similarity for s in found], [s.embedding @ probe for s in truth[:20]], atol=1e-6
    )
    since = NOON + timedelta(seconds=150)
    late = [s.face_id for s in truth if s.captured_at >= since]
    found = await vectors.similar_sightings(probe, model, 20, since=since)
    assert [s.face_id for s in found] == late[:20]


async def test_a_search_in_a_time_reads_no_other_sightings(vectors, model, rng):
    await vectors.add_sightings(model, [a_sighting(rng, seconds=n) for n in range(3000)])
    probe = encode_vector(a_vector(rng, DIMENSION))
    since = NOON + timedelta(seconds=2990)
    async with vectors._connection("explain") as connection:
        await connection.execute(f"ANALYZE {partition_name(model)}")
        async with connection.transaction():
            await connection.execute(PLAN_EACH)
            plan = await connection.fetch(
                f"EXPLAIN {SIMILAR_SIGHTINGS}", probe, model, 5, [], since, None
            )
    text = "\n".join(row[0] for row in plan)
    assert "captured_at" in text.partition("Index Cond")[2], text


async def test_sightings_before_a_moment_and_without_some_faces(vectors, model, rng):
    sightings = [a_sighting(rng, seconds=n) for n in range(20)]
    await vectors.add_sightings(model, sightings)
    probe = sightings[3].embedding
    found = await vectors.similar_sightings(
        probe, model, 50, until=NOON + timedelta(seconds=5), without=[sightings[3].face_id]
    )
    assert {one.face_id for one in found} == {
        one.face_id for n, one in enumerate(sightings[:5]) if n != 3
    }
    assert await vectors.similar_sightings(probe, "unknown model", 5) == []


async def test_a_face_has_its_embeddings_by_model(vectors, model, rng):
    seen, template, user = a_sighting(rng), uuid4(), uuid4()
    embedding = a_vector(rng, DIMENSION)
    await vectors.add_sightings(model, [seen])
    await vectors.enrol(template, user, model, embedding, NOON)
    found = await vectors.embeddings_of(seen.face_id)
    np.testing.assert_array_equal(found[model], seen.embedding)
    np.testing.assert_array_equal((await vectors.embeddings_of(template))[model], embedding)
    assert await vectors.embeddings_of(uuid4()) == {}


async def test_writing_a_sighting_again_overwrites_it_but_never_a_template(vectors, model, rng):
    first, user = a_sighting(rng), uuid4()
    second = Sighting(
        face_id=first.face_id, user_id=user, embedding=a_vector(rng, DIMENSION), captured_at=NOON
    )
    await vectors.add_sightings(model, [first])
    await vectors.add_sightings(model, [first, second])
    (found,) = await vectors.similar_sightings(second.embedding, model, 5)
    assert (found.user_id, round(found.similarity, 5)) == (user, 1.0)

    template = uuid4()
    await vectors.enrol(template, user, model, a_vector(rng, DIMENSION), NOON)
    usurper = Sighting(face_id=template, user_id=None, embedding=first.embedding, captured_at=NOON)
    await vectors.add_sightings(model, [usurper])
    assert len(await vectors.similar_sightings(first.embedding, model, 5)) == 1
    await vectors.add_sightings(model, [])


@pytest.mark.parametrize(
    "bad",
    [
        np.ones(DIMENSION + 1, np.float32),
        np.zeros(DIMENSION, np.float32),
        np.full(DIMENSION, np.nan, np.float32),
        np.full(DIMENSION, np.inf, np.float32),
        np.ones((2, DIMENSION // 2), np.float32),
    ],
)
async def test_invalid_embeddings_are_rejected(vectors, model, bad):
    with pytest.raises(StoreRejected):
        await vectors.enrol(uuid4(), uuid4(), model, bad, NOON)
    sighting = Sighting(face_id=uuid4(), user_id=None, embedding=bad, captured_at=NOON)
    with pytest.raises(StoreRejected):
        await vectors.add_sightings(model, [sighting])
    assert (await loaded(vectors, model))[0] == 0


async def test_an_absent_server_is_an_outage_without_the_password(nowhere):
    with pytest.raises(StoreUnavailable) as caught:
        await Vectors(nowhere.vector_db).connect()
    assert nowhere.vector_db.password.get_secret_value() not in str(caught.value)


async def test_a_database_without_pgvector_says_so(prepared):
    with pytest.raises(StoreUnavailable, match="init-db"):
        await Vectors(prepared.vector_db.model_copy(update={"name": "postgres"})).connect()


def test_old_releases_of_pgvector_are_recognised():
    assert [is_recent(v) for v in ("0.8.4", "0.8.10", "0.9.0", "1.0")] == [True] * 4
    assert [is_recent(v) for v in ("0.8.3", "0.8", "0.7.10", "")] == [False] * 4


_STEPS = st.lists(
    st.tuples(st.sampled_from(["enrol", "remove"]), st.integers(0, 2), st.integers(0, 4)),
    max_size=12,
)


@given(steps=_STEPS, seed=st.integers(0, 2**32 - 1))
async def test_the_gallery_is_the_normalised_mean_after_any_steps(vectors, mean_model, steps, seed):
    rng = np.random.default_rng(seed)
    users = [uuid4() for _ in range(3)]
    faces = {(user, n): uuid4() for user in users for n in range(5)}
    photos = {key: a_vector(rng, DIMENSION) for key in faces}
    enrolled = set()
    for step, who, n in steps:
        key = (users[who], n)
        if step == "enrol":
            outcome = await vectors.enrol(faces[key], key[0], mean_model, photos[key], NOON)
            assert (outcome.status is EnrolStatus.UNCHANGED) == (key in enrolled)
            enrolled.add(key)
        else:
            outcome = await vectors.remove_template(faces[key])
            assert (outcome is None) == (key not in enrolled)
            enrolled.discard(key)
    _, people = await loaded(vectors, mean_model)
    for user in users:
        own = [photos[key] for key in enrolled if key[0] == user]
        if not own:
            assert user not in people
            continue
        mean = np.mean(own, axis=0, dtype=np.float64)
        np.testing.assert_allclose(people[user], mean / np.linalg.norm(mean), atol=2e-6)


@pytest.fixture(scope="session")
async def mean_model(vectors):
    name = unique("mean")
    await vectors.ensure_model(name, DIMENSION)
    return name


async def enrolled(vectors, model, user_id, embedding, **more):
    return await vectors.enrol(uuid4(), user_id, model, embedding, NOON, **more)


async def test_a_weak_photo_counts_for_less_and_one_without_weight_in_full(vectors, model, rng):
    user_id, weak, strong = uuid4(), a_vector(rng, DIMENSION), a_vector(rng, DIMENSION)
    await enrolled(vectors, model, user_id, weak, weight=0.25)
    await enrolled(vectors, model, user_id, strong)
    _, people = await loaded(vectors, model)
    mean = 0.25 * weak + strong
    assert people[user_id] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    photos = await vectors.gallery_photos(model)
    assert sorted(photos.weights.tolist()) == [0.25, 1.0]
    assert set(photos.user_ids) == {user_id}
    assert await vectors.count_photos(model) == 2


async def test_a_copy_for_another_model_has_the_same_weight(vectors, model, rng):
    other, face_id, user_id = unique("other"), uuid4(), uuid4()
    await vectors.ensure_model(other, DIMENSION)
    await vectors.enrol(face_id, user_id, model, a_vector(rng, DIMENSION), NOON, weight=0.5)
    assert await vectors.copy_template(face_id, other, a_vector(rng, DIMENSION))
    assert (await vectors.gallery_photos(other)).weights.tolist() == [0.5]


async def test_a_photo_is_not_added_to_a_gallery_that_has_changed(vectors, model, rng):
    user_id = uuid4()
    first = await enrolled(vectors, model, user_id, a_vector(rng, DIMENSION), at_revision=0)
    assert first.status is EnrolStatus.ENROLLED
    late = await enrolled(vectors, model, uuid4(), a_vector(rng, DIMENSION), at_revision=0)
    assert (late.status, late.revision) == (EnrolStatus.OUTDATED, first.revision)
    assert len((await loaded(vectors, model))[1]) == 1
    now = await enrolled(
        vectors, model, uuid4(), a_vector(rng, DIMENSION), at_revision=first.revision
    )
    assert now.status is EnrolStatus.ENROLLED


async def test_a_template_is_known_by_face_and_model(vectors, model, rng):
    face_id = uuid4()
    assert not await vectors.has_template(face_id, model)
    await vectors.enrol(face_id, uuid4(), model, a_vector(rng, DIMENSION), NOON)
    assert await vectors.has_template(face_id, model)
    assert not await vectors.has_template(face_id, unique("another model"))


async def test_photos_of_suspended_users_are_not_compared(vectors, model, rng):
    users = [uuid4(), uuid4()]
    for user_id in users:
        await enrolled(vectors, model, user_id, a_vector(rng, DIMENSION))
    await vectors.suspend_user(users[0])
    assert (await vectors.gallery_photos(model)).user_ids == [users[1]]
    assert (await vectors.gallery_photos(unique("no model"))).user_ids == []
