"""One suite over every store of personal data: what traces, erasing and expiring promise."""

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from msgspec import structs
from sqlalchemy import LargeBinary

from domain.decisions.grouping import Exemplar
from domain.events import EventKind, MatchKind, utc_now
from domain.people.people_changes import PeopleChange, PeopleChangeType
from domain.people.unknown_changes import unknown_created
from domain.personal_data import Author, Cutoffs, DataSubject, References
from domain.store_rows import Outcome, Sighting
from domain.upload_answers import UploadAnswer, encode_answer
from infra.database.migrate import METADATA
from services.erasure import erase
from sinks.cache.open_visits import OpenVisits
from sinks.cache.redis_client import PREFIX
from sinks.main import main_store, user_erasure
from sinks.main.people.people_messages import note_changes
from sinks.main.visit_store import VisitStore
from sinks.stores import Stores
from sinks.vector.unknowns.unknown_gallery import UnknownGallery
from tests.contract.builders import NOON, an_event, an_open_visit, unique
from tests.contract.stored_people import DIMENSION, followed, the_result, with_snapshot
from tests.contract.stored_visits import a_change, a_message, a_visit, face_of
from tests.stored_records import commit_results

LIMIT = 100


@pytest.fixture
def stores(records, vectors, crops, recents):
    return Stores(records=records, vectors=vectors, crops=crops, recents=recents)


@pytest.fixture(autouse=True)
async def nothing_old_is_left(records):
    """Delete expired data at the end, because other modules count them."""
    yield
    edge = utc_now() - timedelta(days=1000)
    while (await records.expire(Cutoffs(edge, edge, LIMIT))).total:
        pass


@dataclass
class Planted:
    """The data of one user in the stores; ``of_visit`` is shown by a visit of the user alone."""

    user: UUID
    sighting: UUID
    enrolled: UUID
    crop: str
    best: UUID
    of_visit: UUID
    camera: str
    snapshot: str


async def plant(stored, recents, *, days=0.0):
    """Write a user with an enrolled photo and a sighting to all stores, and one in a row alone.

    The crop of an unknown's face stands for that one. The sighting is in a visit with a face that
    was not recognised.

    Args:
        stored: the stores.
        recents: the cache.
        days: how long ago the sighting was stored.
    """
    user = await stored.a_user()
    event = replace_kind(an_event())
    enrolled = the_result(event, stored.model, user_id=user)
    match = structs.replace(enrolled.faces[0].match, similarity=None, kind=MatchKind.ENROLLED)
    answer = encode_answer(
        UploadAnswer(
            upload_id=event.key, status="enrolled", model=stored.model, user_id=user,
            face_id=match.face_id,
        )
    )  # fmt: skip
    photo = f"uploads/{event.uuid}.jpg"
    enrolled = structs.replace(
        enrolled,
        faces=(structs.replace(enrolled.faces[0], match=match),),
        outcome=Outcome.ENROLLED,
        answer=answer,
        people=frozenset({user}),
        dataref=f"s3://{stored.crops.bucket}/{photo}",
    )
    seen = with_snapshot(the_result(an_event(), stored.model, user_id=user))
    seen_match = seen.faces[0].match
    for key in (photo, match.crop_key, seen_match.crop_key, seen.snapshot_key):
        await stored.crops.put(key, b"jpeg")
    await stored.vectors.enrol(match.face_id, user, stored.model, stored.a_vector(), NOON)
    await stored.vectors.add_sightings(
        stored.model,
        [Sighting(face_id=seen_match.face_id, user_id=user, embedding=stored.a_vector(),
                  captured_at=NOON)],
    )  # fmt: skip
    best = await stored.a_face()
    later = followed(the_result(an_event(), stored.model, user_id=user), best)
    with_visit = resembling(the_result(an_event(), stored.model), user)
    of_visit = with_visit.faces[0].match
    await stored.crops.put(of_visit.crop_key, b"jpeg")
    results = [enrolled, seen, later, with_visit]
    await commit_results(stored.records, results)
    await stored.records.mark_announced([one.key for one in results])
    at = utc_now() - timedelta(days=days)
    camera = await plant_visit(stored, user, [seen_match, of_visit], at)
    await plant_unknown(stored, user, camera)
    await recents.remember_matches(
        [structs.replace(one, seen_at=at) for one in (seen_match, of_visit)]
    )
    async with OpenVisits(stored.prepared.redis) as open_visits:
        await open_visits.remember([an_open_visit(event.key, user_id=user)])
    await recents.answer(event.key, answer)
    async with stored.records._connection("test") as connection:
        for table, column in (
            ("faces", "created_at"), ("events", "processed_at"), ("snapshots", "created_at"),
        ):  # fmt: skip
            await connection.execute(
                f"UPDATE {table} SET {column} = $1 WHERE event_uuid = ANY($2::uuid[])",  # noqa: S608
                at,
                [one.event.uuid for one in results],
            )
    return Planted(
        user, seen_match.face_id, match.face_id, seen_match.crop_key, best.face_id,
        of_visit.face_id, camera, seen.snapshot_key,
    )  # fmt: skip


async def plant_visit(stored, user, matches, at):
    """A visit of a user, with a checkpoint and a message that name the user; its camera."""
    camera, faces = unique("door"), [face_of(match) for match in matches]
    visit = a_visit(camera, faces, user_id=user, similarity=0.7)
    change = a_change(
        camera, faces, visit, messages=(a_message(visit),),
        checkpoint=f'{{"user":"{user}"}}'.encode(), checkpoint_after=faces[0].frame,
    )  # fmt: skip
    async with VisitStore(stored.prepared.main_db) as visits:
        await visits.commit([change])
    noted = PeopleChange(
        change_id=uuid4(), type=PeopleChangeType.FACE_CORRECTED, at=at, user_id=user
    )
    async with stored.records._connection("test") as connection:
        await note_changes(connection, [noted])
        correction = uuid4()
        await connection.execute(
            "INSERT INTO corrections (id, kind, actor, user_id, detail)"
            " VALUES ($1, 'not_user', 'cli:test', $2, '{}')",
            correction,
            user,
        )
        await connection.execute(
            "INSERT INTO vetoes (correction_id, face_id, user_id) VALUES ($1, $2, $3)",
            correction,
            matches[0].face_id,
            user,
        )
        for table, column in (("visits", "created_at"), ("visit_cameras", "updated_at")):
            await connection.execute(
                f"UPDATE {table} SET {column} = $1 WHERE camera_id = $2",  # noqa: S608
                at,
                camera,
            )
    return camera


def resembling(result, user):
    """The result with its one face an unknown's, who resembles a user most."""
    (row,) = result.faces
    row = structs.replace(row, match=structs.replace(row.match, candidate_id=user))
    return structs.replace(result, faces=(row,))


async def plant_unknown(stored, user, camera):
    """An unknown who became the user and whose template is still there, as after a crash."""
    unknown = uuid4()
    async with stored.records._connection("test") as connection:
        await connection.execute(
            "INSERT INTO unknowns (id, model, state, user_id, first_seen_at, last_seen_at)"
            " VALUES ($1, $2, 'promoted', $3, now(), now())",
            unknown,
            stored.model,
            user,
        )
        await connection.execute(
            "INSERT INTO unknown_members (visit_id, unknown_id, origin_id)"
            " SELECT visit_id, $1, $1 FROM visits WHERE camera_id = $2",
            unknown,
            camera,
        )
        change = structs.replace(unknown_created(unknown), user_id=user)
        await note_changes(connection, [change])
    async with UnknownGallery(stored.prepared.vector_db) as gallery:
        await gallery.ensure_model(stored.model, DIMENSION)
        async with gallery.locked(stored.model) as locked:
            await locked.write(unknown, [Exemplar(uuid4(), stored.a_vector())])


def replace_kind(event):
    return structs.replace(event, kind=EventKind.ENROL)


async def known_of(stores, user):
    """The user, with the main database's references to data in the other stores."""
    return DataSubject(user, (await stores.records.traces(DataSubject(user))).elsewhere)


@pytest.fixture(params=["vectors", "crops", "recents", "records"])
def store(request, stores):
    return getattr(stores, request.param)


async def test_nothing_is_found_of_a_user_without_data(store):
    user = DataSubject(uuid4())
    assert (await store.traces(user)).total == 0
    assert (await store.erase(user)).total == 0
    assert (await store.traces(user)).total == 0


async def test_written_data_are_found_and_erased_once(store, stores, stored, recents):
    one, other = [await plant(stored, recents) for _ in range(2)]
    user, neighbour = [await known_of(stores, planted.user) for planted in (one, other)]
    found, of_neighbour = await store.traces(user), await store.traces(neighbour)
    assert all(found.counts.values()), found
    assert (await store.traces(user)).counts == found.counts, "looking changes nothing"
    assert (await store.erase(user)).counts == found.counts
    assert (await store.traces(user)).total == 0
    assert (await store.erase(user)).total == 0, "again is harmless"
    assert (await store.traces(user)).total == 0
    assert (await store.traces(neighbour)).counts == of_neighbour.counts


async def test_an_erasure_names_every_crop_that_a_look_has_found(stores, stored, recents):
    """Crops of faces that are committed between the two are deleted by what the erasure names."""
    planted = await plant(stored, recents)
    known = await known_of(stores, planted.user)
    assert len(known.known.crop_keys) == 4
    erased = (await stores.records.erase(known)).elsewhere
    assert erased.crop_keys == known.known.crop_keys
    assert erased.snapshot_keys == known.known.snapshot_keys == {planted.snapshot}


async def test_only_what_is_older_expires(store, stores, stored, recents):
    old, young = [await plant(stored, recents, days=days) for days in (2000, 0)]
    edge = utc_now() - timedelta(days=1000)
    before = Cutoffs(edge, edge, LIMIT, await overdue(stores, edge))
    kept = await known_of(stores, young.user)
    whole = await store.traces(kept)
    enrolled = await of_store(store, stores, old)
    assert (await store.expire(before)).total > 0
    assert (await store.expire(before)).counts.keys() == (await store.expire(before)).counts.keys()
    assert (await store.traces(kept)).counts == whole.counts, "what is young stays"
    assert await of_store(store, stores, old) < enrolled, "what is old goes"


async def of_store(store, stores, planted):
    """Counts of a store, with the pictures of a sighting whose row may be gone."""
    crop = References(
        crop_keys=frozenset({planted.crop}), snapshot_keys=frozenset({planted.snapshot})
    )
    return (await store.traces(DataSubject(planted.user, crop))).total


async def overdue(stores, edge):
    """What the main database would lead the others to, without deleting it."""
    async with stores.records._connection("test") as connection:
        rows = await connection.fetch(
            "SELECT id, crop_key FROM faces WHERE created_at < $1 AND kind = 'frame'", edge
        )
    return References(
        face_ids=frozenset(row["id"] for row in rows),
        crop_keys=frozenset(row["crop_key"] for row in rows if row["crop_key"]),
    )


async def test_without_an_age_nothing_expires(store, stores, stored, recents):
    planted = await plant(stored, recents, days=2000)
    user = await known_of(stores, planted.user)
    found = await store.traces(user)
    assert (await store.expire(Cutoffs(None, None, LIMIT))).total == 0
    assert (await store.traces(user)).counts == found.counts


async def test_expiring_never_takes_what_is_enrolled(stores, stored, recents):
    planted = await plant(stored, recents, days=2000)
    edge = utc_now() - timedelta(days=1000)
    before = Cutoffs(edge, None, LIMIT)
    for store in reversed(stores.personal_data):
        found = await store.expire(before)
        before = replace(before, known=before.known | found.elsewhere)
    left = DataSubject(planted.user)
    assert (await stores.records.traces(left)).counts["enrolled faces"] == 1
    assert (await stores.vectors.traces(left)).counts["templates"] == 1
    assert (await stores.records.traces(left)).counts["links of sightings"] == 0


async def test_a_candidate_of_any_number_of_faces_is_forgotten(stores, stored, monkeypatch):
    monkeypatch.setattr(user_erasure, "FORGOTTEN_AT_ONCE", 2)
    monkeypatch.setattr(main_store, "FORGOTTEN_AT_ONCE", 2)
    user = await stored.a_user()
    results = [resembling(the_result(an_event(), stored.model), user) for _ in range(5)]
    await commit_results(stored.records, results)
    subject = DataSubject(user)
    found = (await stores.records.traces(subject)).counts["candidates of unknown faces"]
    gone = (await stores.records.erase(subject)).counts["candidates of unknown faces"]
    left = (await stores.records.traces(subject)).counts["candidates of unknown faces"]
    assert (found, gone, left) == (5, 5, 0)


async def test_a_candidate_who_was_erased_meanwhile_is_not_stored(stores, stored, recents):
    user = await stored.a_user()
    late = resembling(the_result(an_event(), stored.model), user)
    assert (await erase(stores, user, Author("test"))).complete
    await commit_results(stored.records, [late])
    (row,) = await stored.records.faces_of(late.event.uuid, stored.model)
    assert (row.match.candidate_id, row.match.user_id) == (None, None)
    await recents.remember_matches([late.faces[0].match])
    (cached,) = await recents.recent(1, late.event.key)
    assert (cached.candidate_id, cached.face_id) == (None, row.match.face_id)


async def named_in(stores, user):
    """Every column of every table, and every key of the cache, that contains a user's id."""
    found = set()
    for sink, metadata in (
        (stores.records, METADATA["main"]),
        (stores.vectors, METADATA["vector"]),
    ):
        async with sink._connection("test") as connection:
            for table in metadata.tables.values():
                for column in table.columns:
                    text = f'"{column.name}"::text'
                    if isinstance(column.type, LargeBinary):
                        text = f"encode(\"{column.name}\", 'escape')"
                    if await connection.fetchval(
                        f"SELECT EXISTS (SELECT FROM {table.name} WHERE {text} LIKE $1)",  # noqa: S608
                        f"%{user}%",
                    ):
                        found.add(f"{table.name}.{column.name}")
    client = stores.recents._client
    async for key in client.scan_iter(match=f"{PREFIX}*"):
        kind, named = await client.type(key), str(user).encode()
        match kind:
            case b"string":
                values = [await client.get(key) or b""]
            case b"zset":
                values = await client.zrange(key, 0, -1)
            case _:
                values = await client.lrange(key, 0, -1)
        if any(named in value for value in (key, *values)):
            found.add(pattern_of(stores, key))
    return found


def pattern_of(stores, key):
    """The entry of the list to which a key of the cache belongs."""
    name = key.decode(errors="replace").removeprefix(PREFIX)
    listed = {*stores.recents.erased_places, *stores.recents.kept_places}
    return next((one for one in listed if name.startswith(one.rstrip("*"))), name)


async def test_an_erased_user_is_named_only_where_the_list_says_so(stores, stored, recents):
    """Searches every column, not only those that the stores search."""
    planted = await plant(stored, recents)
    erased = {place for store in stores.personal_data for place in store.erased_places}
    kept = {place for store in stores.personal_data for place in store.kept_places}
    before = await named_in(stores, planted.user)
    assert before <= erased | kept, "a place that is not on the list"
    assert before >= {
        "users.id", "faces.user_id", "events.people", "events.answer", "face_embeddings.user_id",
        "gallery.user_id", "matches*", "answer:*", "faces.candidate_id",
        "visits.user_id", "visit_cameras.checkpoint", "visit_messages.user_id", "visits*",
    }  # fmt: skip
    assert (await erase(stores, planted.user, Author("test"))).complete
    after = await named_in(stores, planted.user)
    assert after <= kept, after - kept
    assert after >= {"audit.target", "erased_people.user_id", "erased:*"}
    keys = [one.key async for page in stores.crops.pages("") for one in page]
    faces = {
        str(one) for one in (planted.sighting, planted.enrolled, planted.best, planted.of_visit)
    }
    assert not [key for key in keys if any(face in key for face in faces)]
    assert planted.snapshot not in keys
