"""One suite over every store of personal data: what traces, erasing and expiring promise."""

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from msgspec import structs

from domain.events import EventKind, MatchKind, utc_now
from domain.personal_data import Author, Cutoffs, DataSubject, References
from domain.store_rows import Outcome, Sighting
from domain.upload_answers import UploadAnswer, encode_answer
from services.erasure import erase
from sinks.cache.redis_client import PREFIX
from sinks.main.schema import MainBase, VectorBase
from sinks.stores import Stores
from tests.contract.builders import NOON, an_event
from tests.contract.stored_people import followed, the_result
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
    """The data of one user in the stores."""

    user: UUID
    sighting: UUID
    enrolled: UUID
    crop: str
    best: UUID


async def plant(stored, recents, *, days=0.0):
    """Write a user with an enrolled photo and a sighting to all stores, and one in a row alone.

    The crop of an unknown's face stands for that one.

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
    seen = the_result(an_event(), stored.model, user_id=user)
    seen_match = seen.faces[0].match
    for key in (photo, match.crop_key, seen_match.crop_key):
        await stored.crops.put(key, b"jpeg")
    await stored.vectors.enrol(match.face_id, user, stored.model, stored.a_vector(), NOON)
    await stored.vectors.add_sightings(
        stored.model,
        [Sighting(face_id=seen_match.face_id, user_id=user, embedding=stored.a_vector(),
                  captured_at=NOON)],
    )  # fmt: skip
    best = await stored.a_face()
    later = followed(the_result(an_event(), stored.model, user_id=user), best)
    results = [enrolled, seen, later]
    await commit_results(stored.records, results)
    await stored.records.mark_announced([one.key for one in results])
    at = utc_now() - timedelta(days=days)
    await recents.remember_matches([structs.replace(seen_match, seen_at=at)])
    await recents.answer(event.key, answer)
    async with stored.records._connection("test") as connection:
        for table, column in (("faces", "created_at"), ("events", "processed_at")):
            await connection.execute(
                f"UPDATE {table} SET {column} = $1 WHERE event_uuid = ANY($2::uuid[])",  # noqa: S608
                at,
                [one.event.uuid for one in results],
            )
    return Planted(user, seen_match.face_id, match.face_id, seen_match.crop_key, best.face_id)


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
    assert len(known.known.crop_keys) == 3
    assert (await stores.records.erase(known)).elsewhere.crop_keys == known.known.crop_keys


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
    """Counts of a store, with the crop of a sighting whose row may be gone."""
    crop = References(crop_keys=frozenset({planted.crop}))
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


async def named_in(stores, user):
    """Every column of every table, and every key of the cache, that contains a user's id."""
    found = set()
    for sink, metadata in ((stores.records, MainBase), (stores.vectors, VectorBase)):
        async with sink._connection("test") as connection:
            for table in metadata.metadata.tables.values():
                for column in table.columns:
                    if await connection.fetchval(
                        f"SELECT EXISTS (SELECT FROM {table.name}"  # noqa: S608
                        f' WHERE "{column.name}"::text LIKE $1)',
                        f"%{user}%",
                    ):
                        found.add(f"{table.name}.{column.name}")
    client = stores.recents._client
    async for key in client.scan_iter(match=f"{PREFIX}*"):
        kind, text = await client.type(key), str(user).encode()
        match kind:
            case b"string":
                values = [await client.get(key) or b""]
            case b"zset":
                values = await client.zrange(key, 0, -1)
            case _:
                values = await client.lrange(key, 0, -1)
        if any(text in value for value in (key, *values)):
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
        "gallery.user_id", "matches*", "answer:*",
    }  # fmt: skip
    assert (await erase(stores, planted.user, Author("test"))).complete
    after = await named_in(stores, planted.user)
    assert after <= kept, after - kept
    assert after >= {"audit.target", "erased_people.user_id", "erased:*"}
    keys = [one.key async for page in stores.crops.pages("") for one in page]
    faces = {str(planted.sighting), str(planted.enrolled), str(planted.best)}
    assert not [key for key in keys if any(face in key for face in faces)]
