"""Visits of unknown people in all stores, and the unknowns agent over them, for tests."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
from msgspec import structs

from agents.galleries import OF_UNKNOWNS, Galleries
from agents.unknowns.unknown_lookup import UnknownLookup
from agents.unknowns.unknowns_stage import Unknowns
from domain.decisions.grouping import (
    Assignment,
    Exemplar,
    GroupingPolicy,
    assign,
    first_unknown_id,
    kept_exemplars,
    template_of,
)
from domain.decisions.matching import Candidate
from domain.store_rows import Embedding, Sighting
from domain.visit_events import Visit
from streams.contract.message import Message, Partition
from streams.contract.topics import Topics
from streams.contract.visit_codec import visit_to_json
from tests.contract.builders import a_result, an_event, unique
from tests.contract.stored_visits import a_change, a_visit, at, ended, face_of
from tests.stored_records import commit_results

POLICY = GroupingPolicy(threshold=0.5, margin=0.02, min_faces=3, min_quality=0.3)
DIMENSION = 16
TOPICS = Topics("")


def with_unknowns(settings, **changes):
    """Settings by which the faces of these tests are good enough."""
    unknowns = settings.unknowns.model_copy(update={"min_quality": POLICY.min_quality} | changes)
    return settings.model_copy(update={"unknowns": unknowns})


@dataclass
class Crowd:
    """People who come and go, each with a direction of their own."""

    model: str
    rng: np.random.Generator
    noise: float = 0.1
    people: Embedding = field(init=False)

    def __post_init__(self):
        self.people = self._units(self.rng.normal(size=(12, DIMENSION)))

    def seen(self, person):
        """One look at a person."""
        return self._units(self.people[person] + self.noise * self.rng.normal(size=DIMENSION))

    @staticmethod
    def _units(rows):
        return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class StoredVisit:
    """A visit that has ended, with the embedding that its faces all have."""

    visit: Visit
    embedding: Embedding
    person: int


async def store_visits(records, visits, vectors, crowd, people, *, faces=3, **changes):
    """Visits of these people who were all in the same frames of one camera, as workers store them.

    Returns:
        One `StoredVisit` for each of the people.
    """
    await vectors.ensure_model(crowd.model, DIMENSION)
    camera, results = unique("door"), []
    for second in range(faces):
        event = structs.replace(an_event(camera), captured_at=at(second))
        results.append(a_result(event, len(people), model=crowd.model))
    await commit_results(records, results)
    await records.mark_announced([one.key for one in results])
    stored = []
    for place, person in enumerate(people):
        embedding = crowd.seen(person)
        own = [face_of(one.faces[place].match, quality=0.9) for one in results]
        await vectors.add_sightings(
            crowd.model,
            [
                Sighting(face_id=one.face_id, user_id=None, embedding=embedding, captured_at=one.at)
                for one in own
            ],
        )
        stored.append((ended(a_visit(camera, own), **changes), own, embedding, person))
    first, *_ = stored
    change = a_change(camera, first[1], first[0])
    pairs = tuple((face.face_id, visit.visit_id) for visit, own, *_ in stored for face in own)
    await visits.commit(
        [structs.replace(change, visits=tuple(one[0] for one in stored), faces=pairs)]
    )
    return [StoredVisit(visit, embedding, person) for visit, _, embedding, person in stored]


def message(visit: Visit, offset=0):
    where = Partition(TOPICS.visits, 0)
    return Message(where, offset, visit.camera_id.encode(), visit_to_json(visit), (), 0.0)


@contextmanager
def unknowns_stage(unknowns, gallery, vectors, policy=lambda _: POLICY):
    galleries = Galleries(gallery, poll=1.0, max_age=2.0, of=OF_UNKNOWNS)
    with ThreadPoolExecutor(1) as executor:
        yield Unknowns(
            unknowns, gallery, UnknownLookup(unknowns, vectors, galleries, executor), policy
        )


class Grouped:
    """The same decisions in memory, by comparing with everything."""

    def __init__(self):
        self.exemplars = defaultdict(list)
        self.unknown_of = {}

    def see(self, visits):
        """Visits that were in the same frames, one after the other."""
        for one in visits:
            apart = {
                self.unknown_of[other.visit.visit_id]
                for other in visits
                if other is not one and other.visit.visit_id in self.unknown_of
            }
            best = [
                Candidate(unknown, float(template_of(kept) @ one.embedding))
                for unknown, kept in self.exemplars.items()
            ]
            visit_id = one.visit.visit_id
            unknown = assign(visit_id, best, apart, POLICY).unknown_id
            own = Exemplar(visit_id, one.embedding)
            self.exemplars[unknown] = kept_exemplars([*self.exemplars[unknown], own])
            self.unknown_of[visit_id] = unknown


async def stored_groups(unknowns, visits: list[StoredVisit]) -> dict[UUID, UUID]:
    """The unknown of each of these visits, as stored."""
    return await unknowns.members({one.visit.visit_id for one in visits})


class Planted:
    """Unknowns that were begun one by one, whatever their faces."""

    def __init__(self, records, visits, vectors, unknowns, gallery, crowd):
        self.records, self.visits, self.vectors = records, visits, vectors
        self.unknowns, self.gallery, self.crowd = unknowns, gallery, crowd

    async def unknown(self, person, visits=1, apart=()):
        """One with so many visits of a person; its id, and the visits."""
        stored = [
            (await store_visits(self.records, self.visits, self.vectors, self.crowd, [person]))[0]
            for _ in range(visits)
        ]
        unknown = first_unknown_id(stored[0].visit.visit_id)
        await self.gallery.ensure_model(self.crowd.model, stored[0].embedding.size)
        for one in stored:
            given = Assignment(unknown, None, "joined")
            await self.unknowns.add(one.visit.visit_id, self.crowd.model, given, apart)
        async with self.gallery.locked(self.crowd.model) as locked:
            await locked.write(
                unknown, [Exemplar(one.visit.visit_id, one.embedding) for one in stored]
            )
        return unknown, stored

    async def rows(self, statement, *values):
        async with self.records._connection("test") as connection:
            return [tuple(row) for row in await connection.fetch(statement, *values)]

    async def in_gallery(self):
        changes = await self.gallery.changes(self.crowd.model, 0)
        return {one.user_id for one in changes if one.embedding is not None}
