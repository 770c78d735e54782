"""A photo that was taken out is enrolled again: it counts under every model."""

import asyncio
from dataclasses import replace

import pytest
from msgspec import structs

from domain.events import EventKind
from domain.upload_answers import decode_answer
from services.face_erasure import erase_face
from sinks.main.database_sessions import Databases
from sinks.main.schema import Face
from streams.contract.value_codec import pack, unpack
from tests.contract.builders import an_event, unique
from tests.contract.people.corrected_people import (
    ME,
    OUT,
    a_photo,
    detected,
    face,
    follow,
    identify,
    request,
    sent_again,
)
from tests.contract.stored_people import DIMENSION


@pytest.fixture(params=["after", "before"])
async def other_model(request, world):
    """A model of which every photo has a template, too; by name it comes after the other one."""
    model = unique(request.param)
    world.stored.model = unique("between")
    for one in (model, world.stored.model):
        await world.stored.vectors.ensure_model(one, DIMENSION)
    return model


def a_portrait(world, user, *models):
    """A photo to enrol, embedded by these models, too, and its message."""
    event = structs.replace(an_event(kind=EventKind.ENROL), subject=str(user))
    looks = world.stored.a_vector().tobytes()
    return detected(world, looks, event=event, other_embeddings=dict.fromkeys(models, looks))


async def photos(world, user, *models):
    """How many photos the user has in the gallery of each model."""
    async with world.stored.vectors._connection("test") as connection:
        rows = await connection.fetch("SELECT model, photos FROM gallery WHERE user_id = $1", user)
    found = {row["model"]: row["photos"] for row in rows}
    return [found.get(model) for model in models]


async def test_it_counts_under_every_model(world, other_model):
    user = await world.stored.a_user()
    models = (world.stored.model, other_model)
    photo, message = a_portrait(world, user, other_model)
    with identify(world) as stage:
        await stage.process([message])
        assert await photos(world, user, *models) == [1, 1]
        await world.corrections.make(request(OUT, user, face_id=photo))
        assert await photos(world, user, *models) == [0, 0]
        await stage.process([sent_again(message)])
    assert await photos(world, user, *models) == [1, 1]


async def test_a_message_of_before_does_not_enrol_it_again(world, other_model):
    """A worker gets it again after a crash, or an operator reads the topic again."""
    user = await world.stored.a_user()
    models = (world.stored.model, other_model)
    photo, message = a_portrait(world, user, other_model)
    with identify(world) as stage:
        await stage.process([message])
        made = await world.corrections.make(request(OUT, user, face_id=photo))
        for _ in range(2):
            await stage.process([message])
            assert await photos(world, user, *models) == [0, 0]
            assert (await face(world, photo)).kind == "removed"
        event = unpack(message.value).event
        answer = decode_answer((await world.stored.records.upload(event.uuid, models[0])).answer)
        assert (answer.status, answer.code) == ("refused", "photo_removed")
        await world.corrections.undo(made.id, ME)
        assert await photos(world, user, *models) == [1, 1]
        assert await world.stored.records.upload(event.uuid, models[0]) is None
        await stage.process([message])
        assert await photos(world, user, *models) == [1, 1]
        await world.corrections.make(request(OUT, user, face_id=photo))
        again = sent_again(message)
        await stage.process([message])
        assert await photos(world, user, *models) == [0, 0]
        await stage.process([again])
    assert await photos(world, user, *models) == [1, 1]


async def test_a_message_of_before_does_not_bring_a_deleted_photo_back(world, other_model):
    """Nor under a model that was not there when it was deleted."""
    user = await world.stored.a_user()
    models = (world.stored.model, other_model)
    photo, message = a_portrait(world, user)
    found = unpack(message.value)
    with identify(world) as stage:
        await stage.process([message])
        async with Databases(world.stored.prepared) as databases:
            async with databases.main() as session:
                stored = await session.get(Face, photo)
            await erase_face(world.stores, databases.main, stored, "test")
        later = replace(message, value=pack(structs.replace(found, model=other_model)))
        await stage.process([message])
        await stage.process([later])
        assert await photos(world, user, *models) == [0, None]
        await stage.process([sent_again(message)])
        await stage.process([sent_again(later)])
    assert await photos(world, user, *models) == [1, 1]


async def test_it_counts_under_a_model_that_embeds_photos_no_more(world, other_model):
    user = await world.stored.a_user()
    models = (world.stored.model, other_model)
    photo, message = a_portrait(world, user)
    with identify(world) as stage:
        await stage.process([message])
        await world.stored.vectors.copy_template(photo, other_model, world.stored.a_vector())
        await world.corrections.make(request(OUT, user, face_id=photo))
        await stage.process([sent_again(message)])
    assert await photos(world, user, *models) == [1, 1]


async def test_a_backfill_leaves_a_photo_that_is_out_where_it_is(world, other_model):
    user = await world.stored.a_user()
    photo, message = a_portrait(world, user)
    with identify(world) as stage:
        await stage.process([message])
    await world.corrections.make(request(OUT, user, face_id=photo))
    await world.stored.vectors.copy_template(photo, other_model, world.stored.a_vector())
    assert await photos(world, user, world.stored.model, other_model) == [0, 0]


async def test_a_photo_that_two_models_have_enrolled_is_taken_out_of_both(world, other_model):
    user, event = await world.stored.a_user(), an_event()
    models = (world.stored.model, other_model)
    faces = [await a_photo(world, user, event=event, model=model) for model in models]
    assert await photos(world, user, *models) == [1, 1]
    made = await world.corrections.make(request(OUT, user, face_id=faces[0]))
    assert await photos(world, user, *models) == [0, 0]
    assert [(await face(world, one)).kind for one in faces] == ["removed", "removed"]
    await world.corrections.undo(made.id, ME)
    assert await photos(world, user, *models) == [1, 1]


class WhileEnrolled:
    """The vector database; when a template is added, something else happens before the commit."""

    def __init__(self, vectors, work):
        self._vectors = vectors
        self._work = work

    def __getattr__(self, name):
        return getattr(self._vectors, name)

    async def enrol(self, **fields):
        done = await self._vectors.enrol(**fields)
        await self._work()
        return done


async def test_a_worker_that_follows_the_correction_late_does_not_take_it_out_again(world):
    user = await world.stored.a_user()
    photo, message = a_portrait(world, user)
    with identify(world) as stage:
        await stage.process([message])
    await world.corrections.make(request(OUT, user, face_id=photo))
    followed = []

    async def follow_meanwhile():
        followed.append(asyncio.create_task(follow(world)))
        await asyncio.wait(followed, timeout=1.0)  # it has to wait for the commit

    world.stores = replace(
        world.stores, vectors=WhileEnrolled(world.stored.vectors, follow_meanwhile)
    )
    with identify(world) as stage:
        await stage.process([sent_again(message)])
    await asyncio.gather(*followed)
    assert await photos(world, user, world.stored.model) == [1]
    now = await face(world, photo)
    assert (now.kind, now.set_aside) == ("enrolled", None)


async def test_who_takes_a_photo_out_while_it_is_enrolled_again_has_the_last_word(world):
    user = await world.stored.a_user()
    photo, message = a_portrait(world, user)
    with identify(world) as stage:
        await stage.process([message])
    await world.corrections.make(request(OUT, user, face_id=photo))
    made = []

    async def take_out_meanwhile():
        out = world.corrections.make(request(OUT, user, face_id=photo))
        made.append(asyncio.create_task(out))
        await asyncio.sleep(0)

    world.stores = replace(
        world.stores, vectors=WhileEnrolled(world.stored.vectors, take_out_meanwhile)
    )
    with identify(world) as stage:
        await stage.process([sent_again(message)])
    (again,) = await asyncio.gather(*made)
    await follow(world)
    assert await photos(world, user, world.stored.model) == [0]
    await world.corrections.undo(again.id, ME)
    assert await photos(world, user, world.stored.model) == [1]
