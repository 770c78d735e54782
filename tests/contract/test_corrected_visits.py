"""A visit that a person corrects while it goes on: announced in order, and never changed back."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from msgspec import structs

from agents.visits.visits_stage import Visits
from domain.decisions.corrections import CorrectionKind
from domain.people.stored_corrections import CorrectionRequest
from domain.personal_data import Author
from services.people.people_corrections import open_corrections
from sinks.stores import Stores
from tests.contract.builders import unique
from tests.contract.stored_visits import a_partition
from tests.contract.test_visits_stage import (
    TOPICS,
    Broker,
    NoCache,
    WorldLookup,
    match_of,
    message,
    store_faces,
)
from tests.unit.domain.made_up_people import POLICY, World, user


@pytest.mark.parametrize("kind", ["not_user", "is_user"])
async def test_an_open_visit_is_announced_as_corrected_and_stays_so(
    records, visits, vectors, crops, recents, prepared, kind
):
    camera, partition, broker = unique("camera"), a_partition(), Broker()
    world = World(noise=0.3)
    faces = world.stay(0, 0, 14, 2, track=1) + world.stay(3, 60, 61, 2, track=2)
    # Ids are made of people and times, which other tests have, too.
    own = {face.face_id: uuid4() for face in faces}
    world.embeddings = {own[one]: vector for one, vector in world.embeddings.items()}
    faces = [structs.replace(face, face_id=own[face.face_id]) for face in faces]
    await store_faces(records, faces, camera)
    messages = [
        message(match_of(face, camera), partition, offset) for offset, face in enumerate(faces)
    ]
    who = user(0) if kind == "not_user" else user(1)
    said = None if kind == "not_user" else user(1)
    stores = Stores(records=records, vectors=vectors, crops=crops, recents=recents)
    with ThreadPoolExecutor(1) as executor:
        stage = Visits(
            visits, WorldLookup(world), NoCache(), broker, TOPICS,
            policy=lambda _: POLICY, executor=executor,
        )  # fmt: skip
        await stage.assigned([messages[0].partition])
        await stage.process(messages[:16])
        ((_, before), *_) = reversed(broker.visits()[camera])
        assert before.user_id == user(0)
        async with open_corrections(stores, prepared) as corrections:
            made = await corrections.make(
                CorrectionRequest(
                    kind=CorrectionKind(kind),
                    author=Author("cli:test"),
                    user_id=who,
                    visit_id=before.visit_id,
                )
            )
        stage._looked_at = 0.0
        await stage.wait()
        (kind_of, again) = broker.visits()[camera][-1]
        assert kind_of == b"fecapass.visit.updated"
        assert (again.reason, again.user_id, again.correction_id) == ("corrected", said, made.id)
        assert again.supersedes == f"{before.visit_id}/{before.revision}"
        await stage.process(messages[16:])
        of_visit = [one for _, one in broker.visits()[camera] if one.visit_id == before.visit_id]
        later = of_visit[[one.revision for one in of_visit].index(again.revision) :]
        assert {one.user_id for one in later} == {said}
        assert later[-1].state == "ended"
        revisions = [one.revision for one in of_visit]
        assert revisions == sorted(set(revisions))
        assert all(one.supersedes is None for one in later[1:])
