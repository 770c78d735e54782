"""Faces and visits that are on their way while users are merged are those of who is left."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

import pytest
from msgspec import structs

from agents.galleries import Galleries
from agents.visits.visit_lookup import VisitLookup
from agents.visits.visits_stage import Visits
from domain.decisions.matching import MatchPolicy
from domain.decisions.visits.visit_policy import VisitPolicy
from streams.contract.message import Message, Partition
from streams.contract.topics import Topics
from streams.contract.value_codec import match_to_json
from streams.contract.visit_codec import visit_from_json
from tests.contract.builders import an_event, unique
from tests.contract.people.corrected_people import (
    ME,
    MERGE,
    a_photo,
    a_sighting,
    a_stored_visit,
    detected,
    face,
    follow,
    gallery,
    identify,
    request,
    row,
)
from tests.contract.stored_visits import a_change, a_message, a_visit, face_of

TOPICS = Topics("")
POLICY = MatchPolicy(0.5, 0.05)
FROZEN = 3600.0


class Cache:
    def __init__(self):
        self.visits = []

    async def remember(self, visits):
        self.visits += visits


@contextmanager
def visits_agent(world, cache):
    with ThreadPoolExecutor(1) as executor:
        galleries = Galleries(world.stored.vectors, poll=FROZEN, max_age=FROZEN)
        yield Visits(
            world.visits,
            VisitLookup(world.stored.vectors, galleries, lambda _: POLICY),
            cache,
            world.broker,
            TOPICS,
            policy=lambda _: VisitPolicy(unknown_after=0.0),
            executor=executor,
        )


def seen(world, embedding):
    """A frame with a face that looks like this."""
    return detected(world, embedding, event=an_event(unique("door")))


def matched(match):
    where = Partition(TOPICS.matches, 0)
    return Message(where, 0, match.camera_id.encode(), match_to_json(match), (), 0.0)


async def merged(world, users):
    """Merge each user into the next one; returns the corrections."""
    pairs = pairwise(users)
    return [
        await world.corrections.make(request(MERGE, kept, other_user_id=one)) for one, kept in pairs
    ]


@pytest.mark.parametrize("others", [1, 2])
async def test_a_face_that_is_found_in_a_gallery_before_the_merge(world, others):
    users = [await world.stored.a_user() for _ in range(1 + others)]
    await a_photo(world, users[0])
    looks = (await gallery(world))[users[0].hex]
    with identify(world) as stage:
        assert not await stage.process([seen(world, looks)[1]])
        await merged(world, users)
        face_id, message = seen(world, looks)
        assert not await stage.process([message])
    now = await face(world, face_id)
    assert (now.user_id, now.linked, now.decision) == (users[-1], users[-1], "matched")
    announced = {match.face_id: match.user_id for _, match in world.broker.matches()}
    assert announced[face_id] == users[-1]


async def test_the_two_who_were_merged_are_no_runner_ups_of_each_other(world):
    kept, gone = [await world.stored.a_user() for _ in range(2)]
    await a_photo(world, gone)
    looks = (await gallery(world))[gone.hex]
    photo = await a_photo(world, kept)
    async with world.stored.vectors._connection("test") as connection:
        await connection.execute(
            "UPDATE gallery SET embedding = (SELECT embedding FROM gallery WHERE user_id = $2) "
            "WHERE user_id = $1",
            kept,
            gone,
        )
    assert photo
    with identify(world) as stage:
        first, message = seen(world, looks)
        await stage.process([message])
        assert (await face(world, first)).decision == "ambiguous"
        await merged(world, [gone, kept])
        second, message = seen(world, looks)
        await stage.process([message])
    assert (await face(world, second)).user_id == kept


async def a_sighting_at(world, user, looks):
    """Seen at a camera of its own."""
    return await a_sighting(world, user, camera=unique("door"), looks=looks)


async def visit_at(world, camera):
    (visit,) = (await world.visits.camera(camera)).visits
    return visit


@pytest.mark.parametrize("others", [1, 2])
async def test_a_match_that_the_visits_agent_reads_after_the_merge(world, others):
    users = [await world.stored.a_user() for _ in range(1 + others)]
    await a_photo(world, users[0])
    looks = (await gallery(world))[users[0].hex]
    first, second = [await a_sighting_at(world, users[0], looks) for _ in range(2)]
    cache = Cache()
    with visits_agent(world, cache) as stage:
        await stage.process([matched(first)])
        assert (await visit_at(world, first.camera_id)).user_id == users[0]
        made = await merged(world, users)
        world.broker.sent.clear()
        await stage.process([matched(second)])
        assert (await visit_at(world, second.camera_id)).user_id == users[-1]
        (told,) = [one for one in world.broker.sent if one.topic == TOPICS.visits]
        assert visit_from_json(told.value).user_id == users[-1]
        assert cache.visits[-1].user_id == users[-1]
        # What is undone is parted in the memory of the agent, too.
        for one in reversed(made):
            await world.corrections.undo(one.id, ME)
        third = await a_sighting_at(world, users[0], looks)
        await stage.process([matched(third)])
        assert (await visit_at(world, third.camera_id)).user_id == users[0]


async def test_a_commit_writes_who_is_left_everywhere(world):
    kept, gone = [await world.stored.a_user() for _ in range(2)]
    match = await a_sighting(world, gone, camera=unique("door"))
    await merged(world, [gone, kept])
    visit = a_visit(match.camera_id, [face_of(match)], user_id=gone, similarity=0.8)
    change = a_change(
        match.camera_id,
        [face_of(match)],
        visit,
        messages=(a_message(visit),),
        checkpoint=f'{{"user":"{gone}"}}'.encode(),
    )
    (written,) = await world.visits.commit([change])
    stored = await world.visits.camera(match.camera_id)
    assert stored.checkpoint == written.checkpoint == f'{{"user":"{kept}"}}'.encode()
    assert [one.user_id for one in stored.visits] == [kept]
    assert [one.visit.user_id for one in await world.visits.unsent([match.camera_id])] == [kept]
    assert written.visits[0].user_id == written.messages[0].visit.user_id == kept


async def test_a_merge_forgets_checkpoints_that_name_who_is_gone(world):
    kept, gone = [await world.stored.a_user() for _ in range(2)]
    camera = unique("door")
    await world.visits.commit([a_change(camera, checkpoint=str(gone).encode())])
    await merged(world, [gone, kept])
    assert (await world.visits.camera(camera)).checkpoint is None


async def test_a_late_face_of_who_was_merged_joins_the_visit_of_who_is_left(world):
    kept, gone = [await world.stored.a_user() for _ in range(2)]
    camera = unique("door")
    known = [await a_sighting(world, gone, camera=camera, seconds=n) for n in (0, 2)]
    visit = await a_stored_visit(world, gone, known)
    await merged(world, [gone, kept])
    late = await a_sighting(world, gone, camera=camera, seconds=1)
    late_face = structs.replace(face_of(late), track_id=None)
    assert await world.visits.late_visit(camera, late_face) == visit.visit_id


@pytest.mark.parametrize("turn", range(3))
async def test_faces_that_come_during_a_merge_are_those_of_who_is_left(world, turn):
    kept, gone = [await world.stored.a_user() for _ in range(2)]
    await a_photo(world, gone)
    looks = (await gallery(world))[gone.hex]
    with identify(world) as stage:
        frames = [seen(world, looks) for _ in range(12)]
        await stage.process([frames[0][1]])

        async def frames_come():
            for _, message in frames[1:]:
                await stage.process([message])

        async def merge():
            await asyncio.sleep(0.02 * turn)
            await merged(world, [gone, kept])

        await asyncio.gather(frames_come(), merge())
    await follow(world)
    for face_id, _ in frames:
        now = await face(world, face_id)
        assert (now.user_id, now.linked) == (kept, kept)
    assert await row(world, "SELECT id FROM faces WHERE user_id = $1", gone) is None
