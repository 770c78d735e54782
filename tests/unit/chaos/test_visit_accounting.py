"""The count of visits: a good run has no flaw, and each way to lose or double one is found."""

import random
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from domain.decisions.visits.visit_policy import VisitPolicy
from domain.visit_events import VisitReason, VisitState, VisitType
from tests.chaos.visits.visit_accounting import judge_visits
from tests.chaos.visits.visit_evidence import (
    Announcement,
    LoggedFace,
    VisitEvidence,
    VisitMember,
)
from tests.unit.domain.made_up_people import START, Camera, World, in_order, user

POLICY = VisitPolicy(grace=2, end_after=3, return_within=6)
SECOND = timedelta(seconds=1)


def announcement(message):
    visit = structs.replace(message.visit, announced_at=None)
    name = f"{visit.visit_id}/{visit.revision}"
    return Announcement(name, message.type, visit.camera_id, visit, f"{message.type} {visit}")


def evidence_of(camera, log):
    """What is there after a run with this log, when all visits are over."""
    return VisitEvidence(
        faces=log,
        rows=[structs.replace(row, announced_at=None) for row in camera.rows.values()],
        members=[
            VisitMember(face_id, visit_id, "door", face_id in camera.late)
            for face_id, visit_id in camera.faces.items()
        ],
        announcements=[announcement(message) for message in camera.messages],
        unsent=[],
        lookup=camera.world.lookup,
        policy=POLICY,
    )


def logged(faces, delays=None):
    """These faces on the log, each some seconds after it was seen."""
    delays = delays or [0.0] * len(faces)
    entries = [
        LoggedFace("door", face, face.at + delay * SECOND)
        for face, delay in zip(faces, delays, strict=True)
    ]
    return sorted(entries, key=lambda one: (one.logged_at, one.face.face_id))


def after_run(world, log, chance=None):
    """What workers leave that are restarted, and that let visits end by time, at random."""
    camera, chance = Camera(world, POLICY), chance or random.Random(0)
    heard_at = None
    for one in log:
        if heard_at is not None and chance.random() < 0.5:
            passed = (one.logged_at - heard_at) * chance.random()
            camera.wait((camera.state.clock + passed - START).total_seconds())
        if chance.random() < 0.2:
            camera.store()
        if chance.random() < 0.2:
            camera.restart()
        camera.see([one.face])
        heard_at = one.logged_at
    camera.wait((camera.state.clock - START).total_seconds() + 100)
    return evidence_of(camera, log)


def good():
    """Two people who come, leave and come back, one of them a third time, and a late face."""
    world = World(noise=0.3, enrolled=(0,))
    faces = list(
        in_order(
            world.stay(0, 0, 4, 2),
            world.stay(1, 0.1, 6.1, 2),
            world.stay(0, 8.5, 10, 2),
            world.stay(0, 30, 34, 2),
        )
    )
    log = logged(faces)
    late = world.face(0, 31.2)
    return after_run(world, [*log, LoggedFace("door", late, log[-1].logged_at)])


GOOD = good()
FIRST = next(row for row in GOOD.rows if row.user_id == user(0))


def flaws(evidence):
    return {flaw.sort for flaw in judge_visits(evidence).flaws}


def but_for(things, one, *instead):
    """The list with something else, or nothing, in the place of one thing."""
    things = list(things)
    place = things.index(one)
    return [*things[:place], *instead, *things[place + 1 :]]


def test_a_good_run_is_counted():
    verdict = judge_visits(GOOD)
    assert verdict.flaws == ()
    assert verdict.figures.visits == 3
    assert verdict.figures.faces == len(GOOD.faces) == len(GOOD.members)
    assert (verdict.figures.late, verdict.figures.dropped) == (1, 0)
    assert verdict.figures.announcements["started"] == 3
    assert verdict.figures.announcements["ended"] == 4
    assert (verdict.figures.returned, verdict.figures.repeated) == (1, 0)


@st.composite
def runs(draw):
    """Some people who come and go, whose faces come late at times, and workers that restart."""
    world = World(noise=draw(st.sampled_from([0.2, 0.6])), enrolled=(0, 1))
    faces = {}
    for number in range(draw(st.integers(1, 4))):
        person = draw(st.integers(0, 3))
        begin = draw(st.integers(0, 30)) + number / 1000
        track = draw(st.sampled_from([None, number]))
        quality = draw(st.sampled_from([0.8, 0.8, 0.1]))
        stay = world.stay(person, begin, begin + draw(st.integers(0, 8)), 2, track, quality)
        faces |= {face.face_id: face for face in stay}
    chance = random.Random(draw(st.integers(0, 2**31)))
    latest, share = draw(st.sampled_from([(0, 1), (POLICY.grace, 1), (4, 1), (15, 0.2)]))
    delays = [chance.uniform(0, latest) * (chance.random() < share) for _ in faces]
    return world, logged(list(faces.values()), delays), chance


@given(runs())
def test_a_run_without_faults_has_no_flaw_whoever_came(run):
    world, log, chance = run
    verdict = judge_visits(after_run(world, log, chance))
    assert verdict.flaws == ()
    assert verdict.figures.faces + verdict.figures.dropped == len(log)


@pytest.mark.parametrize("member", [one for one in GOOD.members if not one.late])
def test_a_face_in_no_visit_is_lost(member):
    assert "lost" in flaws(replace(GOOD, members=but_for(GOOD.members, member)))


def test_a_late_face_in_no_visit_is_counted_and_no_flaw():
    member = next(one for one in GOOD.members if one.late)
    rows = [
        structs.replace(row, faces=row.faces - 1, late=0)
        if row.visit_id == member.visit_id
        else row
        for row in GOOD.rows
    ]
    members = but_for(GOOD.members, member)
    verdict = judge_visits(replace(GOOD, members=members, rows=rows))
    assert (verdict.flaws, verdict.figures.dropped) == ((), 1)


@pytest.mark.parametrize("announced", GOOD.announcements, ids=lambda one: one.id[-1])
def test_each_message_that_is_missing_is_lost(announced):
    left = but_for(GOOD.announcements, announced)
    assert "lost" in flaws(replace(GOOD, announcements=left))


def test_a_visit_without_a_row_is_lost_and_its_messages_are_a_double():
    assert flaws(replace(GOOD, rows=but_for(GOOD.rows, FIRST))) == {"lost", "doubled"}


def test_one_visit_that_is_two_is_a_double():
    of_first = [one for one in GOOD.members if one.visit_id == FIRST.visit_id]
    other = structs.replace(FIRST, visit_id=uuid4())
    moved = [replace(one, visit_id=other.visit_id) for one in of_first[3:]]
    members = [one for one in GOOD.members if one not in of_first[3:]]
    evidence = replace(GOOD, rows=[*GOOD.rows, other], members=[*members, *moved])
    assert "doubled" in flaws(evidence)


def test_two_visits_that_are_one_are_wrong():
    second = next(row for row in GOOD.rows if row.user_id is None)
    members = [replace(one, visit_id=FIRST.visit_id) for one in GOOD.members]
    assert second.visit_id not in {one.visit_id for one in members}
    assert "wrong" in flaws(replace(GOOD, members=members))


def test_a_face_in_two_visits_is_a_double():
    again = replace(GOOD.members[0], visit_id=GOOD.rows[-1].visit_id)
    assert "doubled" in flaws(replace(GOOD, members=[*GOOD.members, again]))


@pytest.mark.parametrize("camera", ["door", "elsewhere"])
def test_a_face_that_was_never_announced_is_a_double(camera):
    stray = VisitMember(uuid4(), FIRST.visit_id, camera, late=False)
    assert "doubled" in flaws(replace(GOOD, members=[*GOOD.members, stray]))


@pytest.mark.parametrize("late", [True, False])
def test_a_face_that_counts_as_late_and_is_not_or_the_reverse_is_wrong(late):
    member = next(one for one in GOOD.members if one.late is not late)
    changed = replace(member, late=late)
    assert flaws(replace(GOOD, members=but_for(GOOD.members, member, changed))) == {"wrong"}


def test_a_late_face_of_another_person_is_wrong():
    member = next(one for one in GOOD.members if one.late)
    other = next(row.visit_id for row in GOOD.rows if row.user_id is None)
    moved = replace(member, visit_id=other)
    assert "wrong" in flaws(replace(GOOD, members=but_for(GOOD.members, member, moved)))


@pytest.mark.parametrize("state", [VisitState.PENDING, VisitState.OPEN])
def test_a_visit_that_is_left_open_is_stuck(state):
    left = structs.replace(FIRST, state=state)
    assert "stuck" in flaws(replace(GOOD, rows=but_for(GOOD.rows, FIRST, left)))


def test_a_message_that_was_not_sent_is_stuck():
    assert flaws(replace(GOOD, unsent=[GOOD.announcements[0].id])) == {"stuck"}


def test_a_visit_whose_last_message_is_no_end_is_stuck():
    last = GOOD.announcements[-1]
    row = next(one for one in GOOD.rows if one.visit_id == last.visit.visit_id)
    told = structs.replace(last.visit, state=VisitState.OPEN, ended_at=None)
    opened = replace(last, type=VisitType.UPDATED, visit=told)
    evidence = replace(
        GOOD,
        announcements=but_for(GOOD.announcements, last, opened),
        rows=but_for(GOOD.rows, row, structs.replace(told, faces=row.faces, late=row.late)),
    )
    assert "stuck" in flaws(evidence)


def test_an_identical_repetition_of_a_message_is_counted_and_no_flaw():
    again = [*GOOD.announcements, GOOD.announcements[0]]
    verdict = judge_visits(replace(GOOD, announcements=again))
    assert (verdict.flaws, verdict.figures.repeated) == ((), 1)


def test_a_different_repetition_of_a_message_is_a_double():
    other = replace(GOOD.announcements[0], digest="other")
    assert flaws(replace(GOOD, announcements=[*GOOD.announcements, other])) == {"doubled"}


def test_a_visit_that_starts_twice_is_a_double():
    second = next(one for one in GOOD.announcements if one.visit.revision == 2)
    told = structs.replace(second.visit, state=VisitState.OPEN, ended_at=None, reason=None)
    again = replace(second, type=VisitType.STARTED, visit=told)
    announcements = but_for(GOOD.announcements, second, again)
    assert "doubled" in flaws(replace(GOOD, announcements=announcements))


def test_a_visit_that_ends_twice_without_a_return_is_wrong():
    returned = next(one for one in GOOD.announcements if one.visit.reason == VisitReason.RETURNED)
    told = structs.replace(returned.visit, reason=VisitReason.BEST_FACE)
    changed = replace(returned, visit=told)
    announcements = but_for(GOOD.announcements, returned, changed)
    assert flaws(replace(GOOD, announcements=announcements)) == {"wrong"}


def test_messages_in_another_order_are_wrong():
    of_first = [one for one in GOOD.announcements if one.visit.visit_id == FIRST.visit_id]
    one, other = of_first[:2]
    swapped = but_for(but_for(GOOD.announcements, one), other, other, one)
    assert flaws(replace(GOOD, announcements=swapped)) == {"wrong"}


def test_a_message_under_the_name_or_the_key_of_another_visit_is_wrong():
    first = GOOD.announcements[0]
    for changed in (replace(first, id=f"{uuid4()}/1"), replace(first, key="elsewhere")):
        announcements = but_for(GOOD.announcements, first, changed)
        assert flaws(replace(GOOD, announcements=announcements)) == {"wrong"}


def test_messages_of_no_visit_are_a_double():
    stray = structs.replace(GOOD.announcements[0].visit, visit_id=uuid4())
    message = replace(GOOD.announcements[0], id=f"{stray.visit_id}/1", visit=stray)
    assert flaws(replace(GOOD, announcements=[*GOOD.announcements, message])) == {"doubled"}


@pytest.mark.parametrize(
    "change",
    [
        {"user_id": UUID(int=8)},
        {"started_at": START - SECOND},
        {"last_seen_at": START + 90 * SECOND},
        {"best_face_id": UUID(int=9)},
        {"faces": 99},
        {"similarity": 0.5},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_row_that_differs_from_the_log_or_from_its_last_message_is_wrong(change):
    row = structs.replace(FIRST, **change)
    assert flaws(replace(GOOD, rows=but_for(GOOD.rows, FIRST, row))) == {"wrong"}


def test_a_merged_visit_has_no_faces():
    merged = structs.replace(FIRST, reason=VisitReason.MERGED)
    assert "doubled" in flaws(replace(GOOD, rows=but_for(GOOD.rows, FIRST, merged)))


def corrected(*, known):
    """A visit that a person has given to another user after it was over."""
    last = max(
        (one for one in GOOD.announcements if one.visit.visit_id == FIRST.visit_id),
        key=lambda one: one.visit.revision,
    )
    number = last.visit.revision + 1
    said = {"revision": number, "user_id": user(7), "reason": VisitReason.CORRECTED}
    told = structs.replace(last.visit, **said, correction_id=uuid4(), supersedes=last.id)
    message = replace(
        last, id=f"{FIRST.visit_id}/{number}", type=VisitType.UPDATED, visit=told, digest="told"
    )
    return replace(
        GOOD,
        rows=but_for(GOOD.rows, FIRST, structs.replace(FIRST, **said)),
        announcements=[*GOOD.announcements, message],
        corrected={FIRST.visit_id} if known else set(),
    )


def test_whose_a_corrected_visit_is_is_no_flaw():
    assert flaws(corrected(known=True)) == set()


def test_a_visit_of_another_user_is_wrong_without_a_correction():
    assert flaws(corrected(known=False)) == {"wrong"}
