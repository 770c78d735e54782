"""An unknown is given a name or put aside, and it is undone, on the real stores."""

import asyncio
from contextlib import AsyncExitStack
from types import SimpleNamespace
from uuid import UUID, uuid4

import numpy as np
import pytest
from msgspec import structs

from agents.galleries import Galleries
from agents.identify.enrolments import Enrolments
from agents.people.correction_follower import CorrectionFollower
from domain.decisions.corrections import CorrectionError, CorrectionKind
from domain.decisions.enrolment import EnrolmentPolicy
from domain.decisions.grouping import Assignment, Exemplar, first_unknown_id
from domain.events import DetectedFace, DetectedFaces, MatchKind
from domain.people.stored_corrections import CorrectionRequest
from domain.personal_data import Author
from domain.upload_events import enrol_event
from domain.user_errors import UnknownIsUserError
from infra.maintenance.unknown_rounds import opened_unknown_rounds
from services.erasure import erase, look_for
from services.people.people_corrections import open_corrections
from services.unknowns.unknown_promotion import note_photos
from sinks.main.database_sessions import Databases
from sinks.main.people.correction_work import CorrectionWork
from sinks.main.people.people_messages import PeopleMessages
from sinks.main.unknowns.unknown_corrections import NewName
from sinks.stores import Stores
from streams.contract.topics import Topics
from tests.contract.builders import NOON, unique
from tests.contract.stored_people import the_result, young
from tests.contract.stored_unknowns import DIMENSION, Crowd, message, store_visits, unknowns_stage
from tests.stored_records import commit_results

ME = Author("cli:test", "request-1")


class World:
    """The stores, unknowns with visits, and what names and corrects them."""

    def __init__(self, **parts):
        self.__dict__.update(parts)

    async def unknown(self, person=0, visits=3):
        """An unknown with so many visits; its id, and the visits."""
        stored = [
            (await store_visits(self.records, self.visits, self.vectors, self.crowd, [person]))[0]
            for _ in range(visits)
        ]
        unknown = first_unknown_id(stored[0].visit.visit_id)
        await self.gallery.ensure_model(self.crowd.model, DIMENSION)
        for one in stored:
            given = Assignment(unknown, None, "joined")
            await self.unknowns.add(one.visit.visit_id, self.crowd.model, given, ())
        async with self.gallery.locked(self.crowd.model) as locked:
            exemplars = [Exemplar(one.visit.visit_id, one.embedding) for one in stored]
            await locked.write(unknown, exemplars)
        return unknown, [one.visit for one in stored]

    async def user(self):
        return await self.stored.a_user()

    async def promote(self, unknown, user=None, name="Ada"):
        given = NewName(full_name=name) if user is None else NewName(user_id=user)
        return await self.corrections.promote(unknown, given, ME)

    async def enrolled(self, user, promotion=None, data=None):
        """A photo that is enrolled, of a promotion or otherwise; its face."""
        event = enrol_event(user, data or uuid4().bytes)
        if promotion is not None:
            async with self.databases.main.begin() as session:
                await note_photos(session, promotion, [event.id])
        (row,) = the_result(event, self.crowd.model, user_id=user).faces
        match = structs.replace(row.match, kind=MatchKind.ENROLLED, decision=None, similarity=None)
        result = the_result(event, self.crowd.model, user_id=user)
        result = structs.replace(result, faces=(structs.replace(row, match=match),))
        await self.vectors.enrol(match.face_id, user, self.crowd.model, self.crowd.seen(0), NOON)
        await commit_results(self.records, [result])
        return match.face_id

    async def rows(self, statement, *values):
        async with self.records._connection("test") as connection:
            return [tuple(row) for row in await connection.fetch(statement, *values)]

    async def state(self, unknown):
        ((state, user, due),) = await self.rows(
            "SELECT state, user_id, templates_due FROM unknowns WHERE id = $1", unknown
        )
        return state, user, due

    async def labels(self, visits):
        """Whose the visits and their faces are, in both databases."""
        ids = [one.visit_id for one in visits]
        of_visits = await self.rows(
            "SELECT user_id, correction_id FROM visits WHERE visit_id = ANY($1)", ids
        )
        faces = await self.rows(
            "SELECT faces.id, user_id, decision, similarity FROM faces JOIN visit_faces"
            " ON face_id = faces.id WHERE visit_id = ANY($1) ORDER BY faces.id",
            ids,
        )
        async with self.vectors._connection("test") as connection:
            linked = await connection.fetch(
                "SELECT DISTINCT user_id FROM face_embeddings WHERE face_id = ANY($1)",
                [face for face, *_ in faces],
            )
        return SimpleNamespace(
            visits=of_visits, faces=faces, linked={row["user_id"] for row in linked}
        )

    async def users(self):
        """The gallery of users, byte for byte."""
        return {
            user.hex: vector.tobytes()
            async for chunk in self.vectors.load(self.crowd.model)
            for user, vector in zip(chunk.user_ids, chunk.embeddings, strict=True)
        }

    async def unknown_people(self):
        """The gallery of unknowns, byte for byte, and what each template is made of."""
        changes = await self.gallery.changes(self.crowd.model, 0)
        templates = {
            one.user_id: one.embedding.tobytes() for one in changes if one.embedding is not None
        }
        exemplars = await self.gallery.exemplars_of(self.crowd.model, list(templates))
        return {
            unknown: (
                template,
                sorted((one.visit_id, one.embedding.tobytes()) for one in exemplars[unknown]),
            )
            for unknown, template in templates.items()
        }

    async def announced(self):
        async with self.messages.unsent(100) as changes:
            return list(changes)

    async def told(self, visits):
        """What is to be sent of these visits."""
        found = await self.visits.unsent(sorted({one.camera_id for one in visits}))
        await self.visits.sent(found)
        return [one.visit for one in found]

    async def follow(self):
        while await self.follower.follow_one():
            pass


@pytest.fixture
async def world(stored, recents, visits, unknowns, unknown_gallery):
    async with AsyncExitStack() as stack:
        stores = Stores(
            records=stored.records, vectors=stored.vectors, crops=stored.crops, recents=recents
        )
        enter = stack.enter_async_context
        main = stored.prepared.main_db
        work = await enter(CorrectionWork(main))
        async with stored.records._connection("test") as connection:
            for table in ("people_messages", "correction_work", "vetoes", "visit_messages"):
                await connection.execute(f"DELETE FROM {table}")  # noqa: S608

        async def send(cameras):
            await visits.sent(await visits.unsent(cameras))

        crowd = Crowd(unique("model"), np.random.default_rng(7))
        await stored.vectors.ensure_model(crowd.model, DIMENSION)
        yield World(
            stored=stored, stores=stores, records=stored.records, vectors=stored.vectors,
            visits=visits, unknowns=unknowns, gallery=unknown_gallery, crowd=crowd,
            corrections=await enter(open_corrections(stores, stored.prepared)),
            messages=await enter(PeopleMessages(main)),
            databases=await enter(Databases(stored.prepared)),
            rounds=await enter(opened_unknown_rounds(young(stored.prepared))),
            work=work,
            follower=CorrectionFollower(work, stored.vectors, recents, send, None, Topics()),
        )  # fmt: skip


@pytest.mark.parametrize("is_new", [True, False], ids=["new user", "a user"])
async def test_a_promotion_and_its_undo_leave_both_galleries_as_they_were(world, is_new):
    user = None if is_new else await world.user()
    if user:
        await world.enrolled(user)
    unknown, visits = await world.unknown()
    await world.unknown(1)
    before = await world.users(), await world.unknown_people(), await world.labels(visits)
    done = await world.promote(unknown, user)
    assert (done.visits, done.faces) == (3, 9)
    for _ in range(2):
        await world.enrolled(done.user_id, done.correction_id)
    during = await world.labels(visits)
    assert during.visits == [(done.user_id, done.correction_id)] * 3
    assert {row[1:] for row in during.faces} == {(done.user_id, "matched", None)}
    assert during.linked == {done.user_id}
    assert await world.state(unknown) == ("promoted", done.user_id, False)
    assert unknown not in await world.unknown_people()
    assert await world.users() != before[0]

    undone = await world.corrections.undo(done.correction_id, ME)
    await world.follow()
    assert await world.users() == before[0]
    assert await world.unknown_people() == before[1]
    assert await world.labels(visits) == before[2]
    assert await world.state(unknown) == ("open", None, False)
    # The user stays, and is recognised by no photo that the promotion has brought.
    assert (await world.records.user(done.user_id)).is_active
    assert undone.undoes == done.correction_id


async def test_both_are_audited_and_announced_with_their_visits(world):
    unknown, visits = await world.unknown()
    done = await world.promote(unknown)
    undone = await world.corrections.undo(done.correction_id, ME)
    changes = [one for one in await world.announced() if one.correction_id]
    assert [
        (one.type, one.change_id, one.user_id, one.unknown_id, one.correction, one.undoes)
        for one in changes
    ] == [
        ("fecapass.unknown.promoted", done.correction_id, done.user_id, unknown, "promote", None),
        ("fecapass.unknown.promoted", undone.id, done.user_id, unknown, "undo", undone.undoes),
    ]
    for change in changes:
        assert set(change.visit_ids) == {one.visit_id for one in visits}
        assert len(change.face_ids) == 9
    told = await world.told(visits)
    for visit in visits:
        first, second = [one for one in told if one.visit_id == visit.visit_id]
        assert (first.user_id, second.user_id) == (done.user_id, None)
        assert (first.correction_id, second.correction_id) == (done.correction_id, None)
        names = [f"{visit.visit_id}/{visit.revision + more}" for more in (0, 1)]
        assert [first.supersedes, second.supersedes] == names
        assert second.revision == visit.revision + 2
    noted = await world.rows(
        "SELECT action, actor, request_id, detail->>'correction' FROM audit"
        " WHERE target = $1 ORDER BY id",
        f"unknown:{unknown}",
    )
    assert noted == [
        ("unknown.promote", "cli:test", "request-1", str(done.correction_id)),
        ("correction.undo", "cli:test", "request-1", str(undone.id)),
    ]
    listed = await world.corrections.list(9, user=done.user_id)
    assert [(one.kind, one.unknown_id, one.undone_by) for one in listed] == [
        ("undo", unknown, None), ("promote", unknown, undone.id),
    ]  # fmt: skip


async def test_what_a_later_correction_says_stays(world):
    unknown, visits = await world.unknown()
    done, other = await world.promote(unknown), await world.user()
    said = CorrectionRequest(
        kind=CorrectionKind.IS_USER, author=ME, user_id=other, visit_id=visits[0].visit_id
    )
    later = await world.corrections.make(said)
    await world.corrections.undo(done.correction_id, ME)
    assert (await world.labels(visits[:1])).visits == [(other, later.id)]
    assert {row[1] for row in (await world.labels(visits[:1])).faces} == {other}
    assert (await world.labels(visits[1:])).visits == [(None, None)] * 2


async def test_the_first_correction_of_a_promoted_face_replaces_what_the_camera_said(world):
    unknown, visits = await world.unknown()
    ((face,), *_) = await world.rows(
        "SELECT face_id FROM visit_faces WHERE visit_id = $1", visits[0].visit_id
    )
    done = await world.promote(unknown)
    made = await world.corrections.make(
        CorrectionRequest(
            kind=CorrectionKind.NOT_USER, author=ME, user_id=done.user_id, face_id=face
        )
    )
    async with world.work.held(made.id) as held:
        (match,) = await held.announced()
    assert match.supersedes == str(face)


async def test_a_later_correction_that_was_undone_does_not_stay(world):
    unknown, visits = await world.unknown()
    done = await world.promote(unknown)
    said = CorrectionRequest(
        kind=CorrectionKind.NOT_USER, author=ME, user_id=done.user_id,
        visit_id=visits[0].visit_id,
    )  # fmt: skip
    later = await world.corrections.make(said)
    await world.corrections.undo(later.id, ME)
    assert (await world.labels(visits)).visits == [(done.user_id, done.correction_id)] * 3
    await world.corrections.undo(done.correction_id, ME)
    assert (await world.labels(visits)).visits == [(None, None)] * 3


@pytest.mark.parametrize("order", ["undone below", "stands below"])
async def test_what_was_said_before_is_said_again_after_an_undo(world, order):
    """A visit was X's and then no one's, as people have said, before the promotion."""
    unknown, visits = await world.unknown()
    x, y = await world.user(), await world.user()
    first, second = visits[:1], visits[1:]
    makes, labels = [], []
    for kind in (CorrectionKind.IS_USER, CorrectionKind.NOT_USER):
        said = CorrectionRequest(kind=kind, author=ME, user_id=x, visit_id=first[0].visit_id)
        makes.append(await world.corrections.make(said))
        labels.append(await world.labels(first))
    denied = CorrectionRequest(
        kind=CorrectionKind.NOT_USER, author=ME, user_id=y, visit_id=second[0].visit_id
    )
    await world.corrections.make(denied)
    standing = "SELECT face_id, user_id FROM vetoes WHERE withdrawn_by IS NULL AND user_id = $1"
    vetoes = await world.rows(standing, y)
    assert vetoes
    done = await world.promote(unknown, y)
    assert (await world.labels(visits)).visits == [(y, done.correction_id)] * 3
    assert await world.rows(standing, y) == []
    if order == "undone below":  # the promotion is what was said last, and stays
        await world.corrections.undo(makes[1].id, ME)
        assert (await world.labels(visits)).visits == [(y, done.correction_id)] * 3
        expected = labels[0]
    else:
        expected = labels[1]
    await world.corrections.undo(done.correction_id, ME)
    assert await world.labels(first) == expected
    assert (await world.labels(second)).visits == [(None, None)] * 2
    assert await world.rows(standing, y) == vetoes


async def test_photos_that_were_enrolled_otherwise_stay(world):
    unknown, _ = await world.unknown()
    user, data = await world.user(), uuid4().bytes
    own = await world.enrolled(user, data=data)
    done = await world.promote(unknown, user)
    assert await world.enrolled(user, done.correction_id, data) == own  # the same photo
    promoted = await world.enrolled(user, done.correction_id)
    out = await world.enrolled(user, done.correction_id)
    taken = CorrectionRequest(kind=CorrectionKind.PHOTO_OUT, author=ME, user_id=user, face_id=out)
    photo_out = await world.corrections.make(taken)
    later = await world.enrolled(user)
    await world.corrections.undo(done.correction_id, ME)
    kinds = dict(await world.rows("SELECT id, kind FROM faces WHERE user_id = $1", user))
    assert kinds == {own: "enrolled", promoted: "removed", out: "removed", later: "enrolled"}
    ((by,),) = await world.rows("SELECT correction_id FROM faces WHERE id = $1", out)
    assert by == photo_out.id
    # Given the name again, the same photo counts again.
    again = await world.promote(unknown, user)
    assert again.correction_id != done.correction_id


async def sent_in(world, user, promotion):
    """A photo of a promotion that the workers have not seen yet."""
    event = enrol_event(user, uuid4().bytes)
    async with world.databases.main.begin() as session:
        await note_photos(session, promotion, [event.id])
    face = DetectedFace(
        box=(10.0, 10.0, 110.0, 130.0),
        landmarks=(40.0, 50.0, 80.0, 50.0, 60.0, 75.0, 45.0, 100.0, 75.0, 100.0),
        score=0.99, quality=0.9, crop=b"jpeg", embedding=world.crowd.seen(0).tobytes(),
    )  # fmt: skip
    return DetectedFaces(event=event, model=world.crowd.model, width=120, height=140, faces=(face,))


async def processed(world, found):
    """The answer of a worker."""
    galleries = Galleries(world.vectors, poll=1.0, max_age=2.0)
    enrolments = Enrolments(world.stores, galleries, EnrolmentPolicy(0.0, 0))
    key = (found.event.uuid, found.model)
    user = UUID(found.event.subject)
    async with world.records.claim([key], users=[user]) as claim:
        (effect,) = await enrolments.enrol(claim, [found])
        await claim.commit([effect.result])
    return effect.answer


async def test_a_photo_that_is_on_its_way_is_refused_after_an_undo(world):
    unknown, _ = await world.unknown()
    user = await world.user()
    done = await world.promote(unknown, user)
    found = await sent_in(world, user, done.correction_id)
    await world.corrections.undo(done.correction_id, ME)
    answer = await processed(world, found)
    assert (answer.status, answer.code) == ("refused", "promotion_undone")
    assert await world.users() == {}
    with pytest.raises(CorrectionError, match="was undone"):
        await sent_in(world, user, done.correction_id)
    # Sent in once more, because it is right.
    event = structs.replace(found.event, captured_at=enrol_event(user, b"").captured_at)
    assert (await processed(world, structs.replace(found, event=event))).status == "enrolled"


async def test_an_undo_is_made_once_however_often_it_is_asked_for(world):
    unknown, visits = await world.unknown()
    done = await world.promote(unknown)
    undos = await asyncio.gather(
        *(world.corrections.undo(done.correction_id, ME) for _ in range(4)),
        return_exceptions=True,
    )
    refused = [one for one in undos if isinstance(one, CorrectionError)]
    assert len(refused) == 3
    assert {one.code for one in refused} == {"already_undone"}
    assert await world.state(unknown) == ("open", None, False)
    assert (await world.labels(visits)).visits == [(None, None)] * 3


async def test_given_the_same_name_again_it_is_another_promotion(world):
    unknown, visits = await world.unknown()
    before = await world.unknown_people()
    first = await world.promote(unknown)
    assert await world.promote(unknown, first.user_id) == structs_like(first)
    await world.corrections.undo(first.correction_id, ME)
    second = await world.promote(unknown, first.user_id)
    assert (second.user_id, second.visits) == (first.user_id, 3)
    assert second.correction_id != first.correction_id
    assert len({one.change_id for one in await world.announced() if one.correction_id}) == 3
    await world.corrections.undo(second.correction_id, ME)
    assert await world.unknown_people() == before
    assert (await world.labels(visits)).linked == {None}


def structs_like(promotion):
    """The answer to the same request once more."""
    return type(promotion)(promotion.unknown_id, promotion.user_id, 0, 0, promotion.correction_id)


async def test_a_crash_between_the_stores_is_repaired(world):
    """The process ends after each commit; maintenance and the follow workers do the rest."""
    unknown, visits = await world.unknown()
    before = await world.unknown_people()

    async def crash(_id):
        pass

    world.corrections._follow = world.corrections._follow_unknown = crash
    done = await world.promote(unknown)
    assert await world.state(unknown) == ("promoted", done.user_id, True)
    assert await world.unknown_people() == before
    assert await world.rounds.repair() == 1
    await world.follow()
    assert await world.unknown_people() == {}
    assert (await world.labels(visits)).linked == {done.user_id}

    await world.corrections.undo(done.correction_id, ME)
    assert await world.state(unknown) == ("open", None, True)
    assert await world.rounds.repair() == 1
    await world.follow()
    assert await world.unknown_people() == before
    assert (await world.labels(visits)).linked == {None}
    assert await world.state(unknown) == ("open", None, False)


async def test_a_promotion_and_its_undo_in_one_crash_are_repaired(world):
    unknown, visits = await world.unknown()
    before = await world.unknown_people()

    async def crash(_id):
        pass

    world.corrections._follow = world.corrections._follow_unknown = crash
    done = await world.promote(unknown)
    await world.corrections.undo(done.correction_id, ME)
    await world.rounds.repair()
    await world.follow()
    assert await world.unknown_people() == before
    assert (await world.labels(visits)).linked == {None}


async def test_workers_leave_the_visits_of_a_promotion_where_an_undo_finds_them(world):
    """The follow workers read the visits that are announced again."""
    unknown, visits = await world.unknown()
    members = "SELECT visit_id FROM unknown_members WHERE unknown_id = $1 ORDER BY visit_id"
    before = await world.rows(members, unknown), await world.unknown_people()
    with unknowns_stage(world.unknowns, world.gallery, world.vectors) as stage:
        done = await world.promote(unknown)
        await stage.process([message(one) for one in await world.told(visits)])
        assert await world.rows(members, unknown) == before[0]
        await world.corrections.undo(done.correction_id, ME)
        await stage.process([message(one) for one in await world.told(visits)])
    assert (await world.rows(members, unknown), await world.unknown_people()) == before


async def test_a_visit_that_became_another_users_is_in_no_template_after_an_undo(world):
    unknown, visits = await world.unknown()
    done, other = await world.promote(unknown), await world.user()
    said = CorrectionRequest(
        kind=CorrectionKind.IS_USER, author=ME, user_id=other, visit_id=visits[0].visit_id
    )
    await world.corrections.make(said)
    with unknowns_stage(world.unknowns, world.gallery, world.vectors) as stage:
        await stage.process([message(one) for one in await world.told(visits)])
    await world.corrections.undo(done.correction_id, ME)
    _, exemplars = (await world.unknown_people())[unknown]
    assert [visit for visit, _ in exemplars] == sorted(one.visit_id for one in visits[1:])


async def test_a_dismissal_is_undone(world):
    unknown, _ = await world.unknown()
    before = await world.unknown_people()
    left, made = await world.corrections.dismiss(unknown, ME)
    assert (left, await world.state(unknown)) == (unknown, ("dismissed", None, False))
    assert await world.corrections.dismiss(unknown, ME) == (unknown, made)
    undone = await world.corrections.undo(made, ME)
    assert await world.state(unknown) == ("open", None, False)
    assert await world.unknown_people() == before
    changes = [one for one in await world.announced() if one.correction_id]
    assert [(one.type, one.unknown_id, one.user_id, one.undoes) for one in changes] == [
        ("fecapass.unknown.dismissed", unknown, None, None),
        ("fecapass.unknown.dismissed", unknown, None, made),
    ]
    assert (await world.corrections.find(made)).undone_by == undone.id
    assert (await world.corrections.dismiss(unknown, ME))[1] != made


async def test_one_that_was_put_aside_and_then_named_is_put_aside_after_an_undo(world):
    unknown, _ = await world.unknown()
    _, dismissed = await world.corrections.dismiss(unknown, ME)
    done = await world.promote(unknown)
    with pytest.raises(CorrectionError, match="undo that first"):
        await world.corrections.undo(dismissed, ME)
    await world.corrections.undo(done.correction_id, ME)
    assert (await world.state(unknown))[0] == "dismissed"
    await world.corrections.undo(dismissed, ME)
    assert (await world.state(unknown))[0] == "open"


@pytest.mark.parametrize("kind", ["promote", "dismiss"])
async def test_an_unknown_that_is_too_old_does_not_come_back(world, kind):
    unknown, visits = await world.unknown()
    if kind == "promote":
        made = (await world.promote(unknown)).correction_id
    else:
        _, made = await world.corrections.dismiss(unknown, ME)
    before = await world.labels(visits)
    await world.rows("DELETE FROM unknowns WHERE id = $1", unknown)
    with pytest.raises(CorrectionError) as caught:
        await world.corrections.undo(made, ME)
    assert caught.value.code == "unknown_not_found"
    assert await world.labels(visits) == before


async def test_a_merge_of_the_user_is_undone_first(world):
    unknown, visits = await world.unknown()
    done, kept = await world.promote(unknown), await world.user()
    request = CorrectionRequest(
        kind=CorrectionKind.MERGE, author=ME, user_id=kept, other_user_id=done.user_id
    )
    merge = await world.corrections.make(request)
    with pytest.raises(CorrectionError, match="undo that first"):
        await world.corrections.undo(done.correction_id, ME)
    await world.corrections.undo(merge.id, ME)
    await world.corrections.undo(done.correction_id, ME)
    labels = await world.labels(visits)
    assert labels.visits == [(None, None)] * 3
    assert labels.linked == {None}


async def test_an_erasure_leaves_no_correction_of_the_unknown(world):
    unknown, _ = await world.unknown()
    _, dismissed = await world.corrections.dismiss(unknown, ME)
    done = await world.promote(unknown)
    counted = {one.what: one.found for one in (await look_for(world.stores, done.user_id)).checks}
    assert (counted["corrections"], counted["embeddings of unknowns"]) == (2, 3)
    assert (await erase(world.stores, done.user_id, ME)).complete
    for one in (dismissed, done.correction_id):
        with pytest.raises(CorrectionError) as caught:
            await world.corrections.undo(one, ME)
        assert caught.value.code == "correction_not_found"
    async with world.vectors._connection("test") as connection:
        assert await connection.fetchval(
            "SELECT count(*) FROM unknown_exemplars WHERE unknown_id = $1", unknown
        ) == 0  # fmt: skip


@pytest.mark.parametrize("turn", range(3))
async def test_an_undo_and_an_erasure_of_the_user_at_once_end_in_one_state(world, turn):
    unknown, visits = await world.unknown()
    done = await world.promote(unknown)
    await world.enrolled(done.user_id, done.correction_id)

    async def erase_later():
        await asyncio.sleep(0.01 * turn)
        return await erase(world.stores, done.user_id, ME)

    undone, _ = await asyncio.gather(
        world.corrections.undo(done.correction_id, ME), erase_later(), return_exceptions=True
    )
    if isinstance(undone, CorrectionError):
        assert undone.code in {"user_not_found", "correction_not_found"}
    elif isinstance(undone, BaseException):
        raise undone
    receipt = await erase(world.stores, done.user_id, ME)
    assert receipt.complete
    await world.rounds.repair()
    await world.follow()
    assert await world.users() == {}
    labels = await world.labels(visits)
    assert {user for user, _ in labels.visits} == {None}
    assert labels.linked == {None}
    there = await world.rows("SELECT state FROM unknowns WHERE id = $1", unknown)
    # An unknown that an undo has brought back before is no user's, and stays; else it is gone.
    assert there in ([], [("open",)])
    assert (unknown in await world.unknown_people()) == bool(there)


async def test_two_who_name_it_at_once_name_it_once(world):
    unknown, _ = await world.unknown()
    done = await asyncio.gather(*(world.promote(unknown) for _ in range(3)))
    assert len({one.user_id for one in done}) == 1
    assert sorted(one.visits for one in done) == [0, 0, 3]
    other = await world.user()
    with pytest.raises(UnknownIsUserError):
        await world.promote(unknown, other)
