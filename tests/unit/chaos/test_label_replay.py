"""Corrections made again by what they mean: an undo takes out what was said, and no more."""

from dataclasses import replace

from tests.chaos.corrections.correction_evidence import Promoted
from tests.chaos.corrections.label_replay import replayed
from tests.unit.chaos.corrected_world import (
    ADA,
    BOB,
    BY_FACES,
    EVE,
    FACES,
    GOOD,
    IS,
    MERGE,
    NAMED,
    NOT,
    OURS,
    OWNERS,
    PHOTOS,
    PROMOTED,
    SECOND,
    START,
    UNDO,
    Made,
    named,
)

FACE = FACES[0]


def said(*words):
    """Corrections, one a second: kind, and what it names."""
    made = []
    for number, (kind, fields) in enumerate(words):
        own = {"id": named(f"word {number}"), "user_id": ADA, "at": START + number * SECOND}
        made.append(Made(kind=kind, **(own | fields)))
    return made


def undo(number):
    return UNDO, {"undoes": named(f"word {number}")}


def outcome(*words, promotions=()):
    return replayed(
        replace(GOOD, made=said(*words), promotions=promotions, kept_faces={}), BY_FACES, OWNERS
    )


def is_face(user_id):
    return IS, {"user_id": user_id, "face_id": FACE}


def test_an_undo_restores_what_was_said_before():
    after = outcome(is_face(ADA), is_face(BOB), undo(1))
    assert after.faces[FACE].user_id == ADA
    assert after.faces[FACE].said_by == named("word 2")
    assert after.kept_faces[named("word 2")] == {FACE}


def test_an_undo_leaves_what_was_said_later_and_does_not_come_back_with_it():
    after = outcome(is_face(ADA), is_face(BOB), undo(0))
    assert after.faces[FACE].user_id == BOB
    assert after.kept_faces[named("word 2")] == set()
    after = outcome(is_face(ADA), is_face(BOB), undo(0), undo(1))
    assert after.faces[FACE].user_id is None


def test_a_visit_knows_the_correction_that_stands():
    visit = {"visit_id": OURS}
    words = [(IS, visit), (NOT, visit), undo(1)]
    assert outcome(*words[:2]).visits[OURS].said_by == named("word 1")
    after = outcome(*words)
    assert (after.visits[OURS].user_id, after.visits[OURS].said_by) == (ADA, named("word 0"))
    after = outcome(*words[:2], undo(0), undo(1))
    assert (after.visits[OURS].user_id, after.visits[OURS].said_by) == (None, None)


def test_a_correction_of_a_visit_is_not_of_a_face_that_came_late():
    after = outcome((IS, {"visit_id": OURS}))
    assert after.kept_faces[named("word 0")] == {FACES[0], FACES[1]}


def test_not_x_changes_only_what_is_x():
    after = outcome(is_face(BOB), (NOT, {"visit_id": OURS}))
    assert after.faces[FACE].user_id == BOB
    assert after.kept_visits[named("word 1")] == set()


def test_a_merge_and_its_undo_leave_what_was_before():
    merge = (MERGE, {"other_user_id": BOB})
    after = outcome(is_face(BOB), merge)
    assert (after.faces[FACE].user_id, after.photos[PHOTOS[2]].user_id) == (ADA, ADA)
    assert after.merged == {BOB: ADA}
    after = outcome(is_face(BOB), merge, undo(1))
    assert (after.faces[FACE].user_id, after.photos[PHOTOS[2]].user_id) == (BOB, BOB)
    assert after.merged == {}


def test_what_a_promotion_has_named_stays_when_an_earlier_correction_is_undone():
    promotion = Promoted(PROMOTED, EVE, START + 1.5 * SECOND)
    words = (
        (IS, {"face_id": FACES[3]}),
        (NOT, {"face_id": FACES[3]}),
        undo(1),
    )
    after = outcome(*words, promotions=[promotion])
    assert after.faces[FACES[3]].user_id == EVE
    assert after.visits[NAMED].user_id == EVE
