"""The count itself: a good run has no flaw, and each way to lose or double one is found."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.events import NAMESPACE
from tests.chaos.accounting import (
    DeadLetter,
    Event,
    Evidence,
    Face,
    LedgerRow,
    MatchMessage,
    announcement_times,
    judge,
)
from tests.chaos.expectations import Expect

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PERSON = UUID(int=7)
OUTCOMES = {
    Expect.KNOWN: "faces",
    Expect.UNKNOWN: "faces",
    Expect.NO_FACE: "no_face",
    Expect.ENROLLED: "enrolled",
    Expect.REFUSED: "refused",
    Expect.FOUND: "searched",
    Expect.NOT_FOUND: "searched",
}
STORED = {Expect.KNOWN: "sighting", Expect.UNKNOWN: "sighting", Expect.ENROLLED: "template"}
NAMED = {Expect.KNOWN, Expect.ENROLLED, Expect.FOUND}
TOLD = {Expect.KNOWN, Expect.UNKNOWN, Expect.FOUND, Expect.NOT_FOUND}


def event(number, expect):
    return Event("s", f"e{number}", expect, NOW, (f"camera.frames/0/{number}",))


def face_id(one):
    return uuid5(NAMESPACE, f"{one.source}|{one.id}|sface|0")


def whole(events):
    """What is there after a run in which nothing went wrong."""
    alive = [one for one in events if one.expect is not Expect.DEAD_LETTER]
    stored = [one for one in alive if one.expect in STORED]
    return Evidence(
        ledger=[
            LedgerRow(one.uuid, one.source, one.id, "sface", OUTCOMES[one.expect], NOW)
            for one in alive
        ],
        dead_letters=[
            DeadLetter(one.copies[0], "bad_image: x", intact=True, written_at=NOW)
            for one in events
            if one.expect is Expect.DEAD_LETTER
        ],
        faces=[
            Face(face_id(one), one.uuid, PERSON if one.expect in NAMED else None, f"crops/{one.id}")
            for one in stored
        ],
        crops={f"crops/{one.id}" for one in stored},
        embeddings={face_id(one): STORED[one.expect] for one in stored},
        match_messages=[
            MatchMessage(
                face_id(one), one.id, PERSON if one.expect in NAMED else None, f"d{one.id}"
            )
            for one in alive
            if one.expect in TOLD
        ],
        known=PERSON,
        photos=sum(one.expect is Expect.ENROLLED for one in events),
    )


EVENTS = [event(number, expect) for number, expect in enumerate(Expect)]
GOOD = whole(EVENTS)


def flaws(evidence, events=EVENTS):
    verdict = judge(events, evidence)
    return {flaw.sort for flaw in verdict.flaws}


@given(st.lists(st.sampled_from(Expect), max_size=30))
def test_a_good_run_has_no_flaw_whatever_was_published(expects):
    events = [event(number, expect) for number, expect in enumerate(expects)]
    verdict = judge(events, whole(events))
    assert verdict.flaws == ()
    assert sum(verdict.outcomes.values()) == len(events)


@given(st.data())
def test_whatever_one_thing_is_missing_is_found(data):
    """Of any list, any one member taken away leaves a loss."""
    where = data.draw(
        st.sampled_from(
            ["ledger", "dead_letters", "faces", "crops", "embeddings", "match_messages"]
        )
    )
    things = list(getattr(GOOD, where))
    gone = data.draw(st.sampled_from(things))
    left = [thing for thing in things if thing != gone]
    kept = {thing: GOOD.embeddings[thing] for thing in left} if where == "embeddings" else left
    assert "lost" in flaws(replace(GOOD, **{where: kept}))


@given(st.data())
def test_whatever_belongs_to_no_event_is_found(data):
    where = data.draw(
        st.sampled_from(
            ["ledger", "dead_letters", "faces", "crops", "embeddings", "match_messages"]
        )
    )
    stray = {
        "ledger": LedgerRow(uuid4(), "s", "unknown", "sface", "faces", NOW),
        "dead_letters": DeadLetter("camera.frames/0/999", "x: y", intact=True, written_at=NOW),
        "faces": Face(uuid4(), uuid4(), None, "crops/e0"),
        "crops": "crops/stray",
        "embeddings": uuid4(),
        "match_messages": MatchMessage(uuid4(), "unknown", None, "d"),
    }[where]
    more = (
        {**GOOD.embeddings, stray: "sighting"}
        if where == "embeddings"
        else [*getattr(GOOD, where), stray]
    )
    assert flaws(replace(GOOD, **{where: more})) == {"doubled"}


@pytest.mark.parametrize("steps", [1, 2])
def test_a_followed_face_has_the_crop_and_the_embedding_of_its_best_face(steps):
    events = [event(number, Expect.UNKNOWN) for number in range(steps + 1)]
    good = whole(events)
    best, *later = good.faces
    named = [best.face_id, *(one.face_id for one in later)]
    followed = [
        replace(one, crop_key=None, best_face_id=before)
        for one, before in zip(later, named, strict=False)
    ]
    evidence = replace(
        good,
        faces=[best, *followed],
        crops={best.crop_key},
        embeddings={best.face_id: "sighting"},
    )
    assert flaws(evidence, events) == set()
    assert flaws(replace(evidence, crops=set()), events) == {"lost"}
    assert flaws(replace(evidence, embeddings={}), events) == {"lost"}
    astray = [best, *(replace(one, best_face_id=uuid4()) for one in followed)]
    assert flaws(replace(evidence, faces=astray), events) == {"lost"}


@pytest.mark.parametrize("line", GOOD.ledger, ids=lambda line: line.outcome)
def test_two_lines_of_one_event_are_a_double(line):
    again = replace(line, event_uuid=uuid4())
    assert "doubled" in flaws(replace(GOOD, ledger=[*GOOD.ledger, again]))


def test_an_event_in_the_ledger_and_in_the_dead_letters_is_a_double_and_wrong():
    dead_letter = DeadLetter(
        EVENTS[0].copies[0], "unexpected_error: x", intact=True, written_at=NOW
    )
    assert flaws(replace(GOOD, dead_letters=[*GOOD.dead_letters, dead_letter])) == {
        "doubled",
        "wrong",
    }


def test_a_good_event_that_became_a_dead_letter_is_wrong():
    one = EVENTS[0]
    dead_letter = DeadLetter(one.copies[0], "unexpected_error: x", intact=True, written_at=NOW)
    assert flaws(replace(whole(EVENTS[1:]), dead_letters=[*GOOD.dead_letters, dead_letter])) == {
        "wrong"
    }


def test_a_bad_picture_that_has_a_line_is_wrong():
    bad = next(one for one in EVENTS if one.expect is Expect.DEAD_LETTER)
    line = LedgerRow(bad.uuid, bad.source, bad.id, "sface", "no_face", NOW)
    assert flaws(replace(GOOD, ledger=[*GOOD.ledger, line], dead_letters=[])) == {"wrong"}


def test_a_dead_letter_that_is_not_what_was_sent_is_a_loss():
    assert flaws(replace(GOOD, dead_letters=[replace(GOOD.dead_letters[0], intact=False)])) == {
        "lost"
    }


def test_an_event_that_was_never_announced_is_a_loss():
    silent = [replace(line, announced_at=None) for line in GOOD.ledger]
    assert flaws(replace(GOOD, ledger=silent)) == {"lost"}


@pytest.mark.parametrize("number", range(len(GOOD.faces)))
def test_a_face_of_another_user_is_wrong(number):
    faces = list(GOOD.faces)
    faces[number] = replace(faces[number], user_id=UUID(int=8))
    assert flaws(replace(GOOD, faces=faces)) == {"wrong"}
    corrected = {faces[number].face_id}
    assert flaws(replace(GOOD, faces=faces, corrected=corrected)) == set()


def test_an_identical_repetition_of_a_match_event_is_counted_and_no_flaw():
    verdict = judge(
        EVENTS, replace(GOOD, match_messages=[*GOOD.match_messages, GOOD.match_messages[0]])
    )
    assert (verdict.flaws, verdict.repeated_matches) == ((), 1)


def test_a_different_repetition_of_a_match_event_is_a_double():
    other = replace(GOOD.match_messages[0], digest="other")
    assert flaws(replace(GOOD, match_messages=[*GOOD.match_messages, other])) == {"doubled"}


def test_a_repeated_dead_letter_is_counted_and_no_flaw():
    verdict = judge(EVENTS, replace(GOOD, dead_letters=[*GOOD.dead_letters, *GOOD.dead_letters]))
    assert (verdict.flaws, verdict.repeated_dead_letters) == ((), len(GOOD.dead_letters))


@pytest.mark.parametrize(("photos", "sort"), [(0, "lost"), (2, "doubled")])
def test_the_gallery_counts_each_photo_once(photos, sort):
    assert flaws(replace(GOOD, photos=photos)) == {sort}


def test_an_event_published_twice_has_still_one_outcome():
    events = [
        replace(one, copies=(*one.copies, f"camera.frames/1/{n}")) for n, one in enumerate(EVENTS)
    ]
    bad = [one for one in events if one.expect is Expect.DEAD_LETTER]
    dead_letters = [
        DeadLetter(address, "x: y", intact=True, written_at=NOW)
        for one in bad
        for address in one.copies
    ]
    assert flaws(replace(GOOD, dead_letters=dead_letters), events) == set()
    assert flaws(replace(GOOD, dead_letters=dead_letters[:1]), events) == {"lost"}


def test_an_event_is_announced_when_its_last_copy_is():
    later = NOW + timedelta(seconds=5)
    bad = next(one for one in EVENTS if one.expect is Expect.DEAD_LETTER)
    twice = replace(bad, copies=(*bad.copies, "camera.frames/1/0"))
    dead_letters = [
        *GOOD.dead_letters,
        DeadLetter("camera.frames/1/0", "x: y", intact=True, written_at=later),
    ]
    times = announcement_times([twice, EVENTS[0]], replace(GOOD, dead_letters=dead_letters))
    assert times == {twice.uuid: later, EVENTS[0].uuid: NOW}
