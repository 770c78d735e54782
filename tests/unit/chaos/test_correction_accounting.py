"""The count of corrections: a good run has no flaw, and each way to lose or double one is found."""

from dataclasses import replace

import pytest
from msgspec import structs

from domain.decisions.corrections import CorrectionKind
from domain.people.people_changes import PeopleChangeType
from domain.visit_events import VisitType
from tests.chaos.corrections.correction_accounting import judge_corrections, labels_by_faces
from tests.chaos.corrections.correction_evidence import LabelledVisit, StoredPhoto
from tests.unit.chaos.corrected_world import (
    ADA,
    ANNOUNCEMENTS,
    BOB,
    BY_FACES,
    EVE,
    FACE_IS,
    FACE_NOT,
    FACES,
    GOOD,
    KNOWN,
    MADE,
    MERGED,
    NAMED,
    OPEN,
    OTHER,
    OURS,
    OWNERS,
    PHOTOS,
    PROMOTED,
    PROMOTION,
    UNDONE,
    VISIT_IS,
    announced,
    asked,
    change,
    named,
    of_unknown,
)

LAST = ANNOUNCEMENTS[-1]


def judged(evidence, announcements=ANNOUNCEMENTS):
    return judge_corrections(evidence, labels_by_faces(announcements), OWNERS, announcements)


def sorts(evidence, announcements=ANNOUNCEMENTS):
    return {flaw.sort for flaw in judged(evidence, announcements).flaws}


def with_face(number, **fields):
    face = replace(GOOD.faces[FACES[number]], **fields)
    return replace(GOOD, faces={**GOOD.faces, FACES[number]: face})


def with_photo(number, *fields):
    return replace(GOOD, photos={**GOOD.photos, PHOTOS[number]: StoredPhoto(*fields)})


def with_user(user_id, **fields):
    return replace(GOOD, users={**GOOD.users, user_id: replace(GOOD.users[user_id], **fields)})


def with_visit(visit_id, *fields):
    return replace(GOOD, visits={**GOOD.visits, visit_id: LabelledVisit(*fields)})


def with_unknown(unknown_id, **fields):
    unknown = replace(GOOD.unknowns[unknown_id], **fields)
    return replace(GOOD, unknowns={**GOOD.unknowns, unknown_id: unknown})


def without(messages, name):
    left = [one for one in messages if one.id != name]
    assert len(left) < len(messages)
    return left


def with_change(one, **fields):
    told = change(one)
    others = without(GOOD.changes, told.id)
    return replace(
        GOOD, changes=[*others, replace(told, change=structs.replace(told.change, **fields))]
    )


def test_a_good_run_has_no_flaw():
    verdict = judged(GOOD)
    assert verdict.flaws == ()
    figures = verdict.figures
    assert figures.made == {"is_user": 2, "not_user": 1, "merge": 1, "photo_out": 1, "undo": 2}
    assert (figures.unanswered, figures.promoted, figures.unknowns) == (1, 1, 2)
    assert (figures.faces, figures.visits, figures.grouped) == (9, 1, 2)
    assert (figures.messages, figures.repeated) == (len(MADE) + 2, 0)


def test_whose_a_visit_is_by_its_faces_is_what_was_announced_last_without_a_word():
    again = announced(OURS, 1, VisitType.STARTED, EVE)
    assert labels_by_faces([*ANNOUNCEMENTS, again]) == BY_FACES


def test_an_identical_repetition_is_counted_and_is_no_flaw():
    evidence = replace(
        GOOD,
        changes=[*GOOD.changes, GOOD.changes[0]],
        face_messages=[*GOOD.face_messages, GOOD.face_messages[0]],
    )
    verdict = judged(evidence)
    assert verdict.flaws == ()
    assert verdict.figures.repeated == 2


def test_one_that_was_not_answered_may_have_been_made_or_not():
    unmade = replace(FACE_IS, id=named("unmade"))
    asked_for = [*GOOD.asked, asked(unmade, answered=False)]
    assert sorts(replace(GOOD, asked=asked_for)) == set()


#: What is wrong after a run, by the sort of its flaws.
BROKEN = {
    "an answered correction is not there": (
        "lost",
        replace(GOOD, asked=[*GOOD.asked, asked(replace(FACE_IS, id=named("gone")))]),
    ),
    "an answered promotion is not there": (
        "lost",
        replace(GOOD, promoted={**GOOD.promoted, OPEN: EVE}),
    ),
    "a correction was made twice": (
        "doubled",
        replace(GOOD, made=[*MADE, replace(FACE_IS, id=named("twice"))]),
    ),
    "an unknown was promoted twice": ("doubled", replace(GOOD, promotions=[PROMOTION] * 2)),
    "a correction names another user": (
        "wrong",
        replace(GOOD, asked=[asked(replace(VISIT_IS, user_id=BOB)), *GOOD.asked[1:]]),
    ),
    "a merge is of another user": (
        "wrong",
        replace(
            GOOD,
            asked=[
                asked(replace(one, other_user_id=EVE)) if one is MERGED else asked(one)
                for one in MADE
            ],
        ),
    ),
    "a face has lost its label": ("lost", with_face(0, user_id=None, embedded_for=None)),
    "a face does not know its correction": ("lost", with_face(0, said_by=None)),
    "an undo has undone a promotion": (
        "lost",
        with_face(3, user_id=BOB, embedded_for=BOB, said_by=UNDONE.id),
    ),
    "a promotion has left a face": ("lost", with_face(4, user_id=None, embedded_for=None)),
    "a face of which nothing was said is another one's": (
        "wrong",
        with_face(5, user_id=ADA, embedded_for=ADA),
    ),
    "an embedding does not follow": ("lost", with_face(0, embedded_for=None)),
    "a visit has lost its label": ("lost", with_visit(OURS, None, VISIT_IS.id)),
    "a visit does not know its correction": ("lost", with_visit(OURS, ADA, None)),
    "a promotion has left a visit": ("lost", with_visit(NAMED, None, None)),
    "a face was not changed": (
        "lost",
        replace(GOOD, kept_faces={**GOOD.kept_faces, FACE_NOT.id: set()}),
    ),
    "a visit was not changed": ("lost", replace(GOOD, kept_visits={})),
    "a photo is still the merged user's": ("lost", with_photo(2, ADA, False, BOB, False)),
    "a template is not given back": ("lost", with_photo(2, BOB, False, ADA, False)),
    "a photo counts that was taken out": ("lost", with_photo(0, ADA, False, ADA, True)),
    "a template counts that was taken out": ("lost", with_photo(0, ADA, True, ADA, False)),
    "a user is still merged": ("lost", with_user(BOB, merged_into=ADA, is_active=False)),
    "a user is out of the gallery": ("lost", with_user(BOB, photos=0, in_gallery=False)),
    "a photo counts twice": ("lost", with_user(ADA, photos=2)),
    "a template is not that of the photos": ("wrong", with_user(ADA, mean_differs=True)),
    "something is to be sent": ("stuck", replace(GOOD, left=["1 change waits"])),
    "the reconciler finds a fault": ("wrong", replace(GOOD, faults=["1 times wrong_mean"])),
    "a change was not announced": (
        "lost",
        replace(GOOD, changes=without(GOOD.changes, str(MERGED.id))),
    ),
    "a change was announced with another content": (
        "doubled",
        replace(GOOD, changes=[*GOOD.changes, replace(GOOD.changes[0], digest="another")]),
    ),
    "a change was announced that was not made": (
        "doubled",
        replace(GOOD, changes=[*GOOD.changes, change(replace(FACE_IS, id=named("unmade")))]),
    ),
    "a change names no face": ("wrong", with_change(VISIT_IS, face_ids=())),
    "a change names another user": ("wrong", with_change(FACE_NOT, user_id=EVE)),
    "a change is of another kind": ("wrong", with_change(FACE_NOT, correction="is_user")),
    "changes came in another order": ("wrong", replace(GOOD, changes=GOOD.changes[::-1])),
    "a promotion was not announced": (
        "lost",
        replace(
            GOOD,
            changes=without(
                GOOD.changes,
                of_unknown(PeopleChangeType.UNKNOWN_PROMOTED, PROMOTED, EVE).id,
            ),
        ),
    ),
    "a corrected face did not come again": (
        "lost",
        replace(GOOD, face_messages=GOOD.face_messages[1:]),
    ),
    "a corrected face came as another one's": (
        "wrong",
        replace(
            GOOD,
            face_messages=[replace(GOOD.face_messages[0], user_id=BOB), GOOD.face_messages[1]],
        ),
    ),
    "a corrected face does not say what it replaces": (
        "wrong",
        replace(
            GOOD,
            face_messages=[replace(GOOD.face_messages[0], supersedes=None), GOOD.face_messages[1]],
        ),
    ),
    "a visit of an unknown is in none": (
        "lost",
        replace(
            GOOD,
            members={NAMED: PROMOTED},
            unknowns={PROMOTED: GOOD.unknowns[PROMOTED]},
        ),
    ),
    "an unknown counts too many visits": ("wrong", with_unknown(OPEN, counted=2)),
    "an unknown has no template": ("lost", with_unknown(OPEN, in_gallery=False)),
    "an unknown's template has another one's visit": (
        "doubled",
        with_unknown(OPEN, exemplars=frozenset({OTHER, NAMED})),
    ),
    "an unknown's template is not that of its visits": (
        "wrong",
        with_unknown(OPEN, template_differs=True),
    ),
    "one who was promoted has a template": ("wrong", with_unknown(PROMOTED, in_gallery=True)),
    "a visit of a user is an unknown's": ("wrong", with_visit(OTHER, KNOWN, None)),
    "a merged visit is an unknown's": ("doubled", with_visit(OTHER, None, None, True)),
    "two faces of one frame are one unknown": (
        "wrong",
        with_face(7, frame=GOOD.faces[FACES[6]].frame),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_flaw_is_found(name):
    sort, evidence = BROKEN[name]
    assert sort in sorts(evidence)


def test_an_unknown_who_is_shown_is_announced():
    evidence = replace(
        GOOD,
        members={**GOOD.members, OURS: OPEN},
        visits={**GOOD.visits, OURS: LabelledVisit(None, None)},
        unknowns={**GOOD.unknowns, OPEN: replace(GOOD.unknowns[OPEN], counted=2)},
    )
    created = of_unknown(PeopleChangeType.UNKNOWN_CREATED, OPEN, None).id
    told = {flaw.what for flaw in judged(evidence).flaws}
    silent = replace(evidence, changes=without(evidence.changes, created))
    (found,) = {flaw.what for flaw in judged(silent).flaws} - told
    assert found == f"unknown {OPEN} is shown and not on people.changes"


def last_with(**fields):
    return replace(LAST, visit=structs.replace(LAST.visit, **fields))


@pytest.mark.parametrize(
    ("sort", "announcements"),
    [
        ("lost", ANNOUNCEMENTS[:-1]),
        ("wrong", (*ANNOUNCEMENTS[:-1], last_with(supersedes=None))),
        ("doubled", (*ANNOUNCEMENTS, last_with(correction_id=OPEN))),
    ],
    ids=["never", "without what it replaces", "of nothing that was said"],
)
def test_a_flaw_of_a_corrected_visit_is_found(sort, announcements):
    assert sort in sorts(GOOD, announcements)


def test_every_kind_that_the_operator_says_is_in_the_good_run():
    # Promotions are read from the audit trail.
    elsewhere = {CorrectionKind.SPLIT, CorrectionKind.PROMOTE, CorrectionKind.DISMISS}
    assert {one.kind for one in MADE} == set(CorrectionKind) - elsewhere
