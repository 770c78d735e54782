"""What a correction changes, what an undo restores, and what a veto decides."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.decisions.corrections import (
    MOST_VETOED,
    UNDO_WITHIN,
    CorrectionError,
    CorrectionKind,
    FaceLabel,
    Veto,
    relabelled,
    relabelled_all,
    require_different,
    require_photos,
    require_undoable,
    restored,
    vetoes_of,
)
from domain.decisions.matching import Candidate, MatchPolicy, decide, decide_without

X, Y, Z = (UUID(int=number) for number in (1, 2, 3))
NOT, IS = CorrectionKind.NOT_USER, CorrectionKind.IS_USER
POLICY = MatchPolicy(threshold=0.5, margin=0.05)
NOW = datetime(2026, 5, 4, tzinfo=UTC)

users = st.sampled_from([None, X, Y, Z])
labels = st.builds(
    FaceLabel,
    face_id=st.integers(100, 140).map(lambda n: UUID(int=n)),
    user_id=users,
    similarity=st.none() | st.floats(-1, 1),
    decision=st.sampled_from(["matched", "below_threshold", "unreliable", "vetoed", None]),
    correction_id=st.none() | st.just(UUID(int=9)),
    embedded_as=st.integers(100, 140).map(lambda n: UUID(int=n)),
    quality=st.floats(0, 1),
    has_embedding=st.booleans(),
)


def a_label(face=100, user=X, **fields):
    own = {"face_id": UUID(int=face), "embedded_as": UUID(int=face), "user_id": user}
    return FaceLabel(**own | {"decision": "matched" if user else "below_threshold"} | fields)


@pytest.mark.parametrize(
    ("similarity", "veto", "reason"),
    [
        (0.7, None, "matched"),
        (0.7, 0.69, "matched"),
        (0.7, 0.7, "vetoed"),
        (0.7, 0.9, "vetoed"),
        (0.7, 0.6999999, "vetoed"),
        (0.4, 0.9, "below_threshold"),
    ],
)
def test_a_face_as_close_to_a_vetoed_one_as_to_the_template_is_nobodys(similarity, veto, reason):
    decision = decide([Candidate(X, similarity, veto)], POLICY)
    assert decision.reason == reason
    assert decision.user_id == (X if reason == "matched" else None)
    assert decision.vetoed == (X if reason == "vetoed" else None)
    assert decision.similarity == similarity


def test_no_other_user_is_named_instead_of_one_who_is_vetoed():
    decision = decide([Candidate(X, 0.8, 0.9), Candidate(Y, 0.7)], POLICY)
    assert (decision.user_id, decision.reason, decision.runner_up_similarity) == (
        None, "vetoed", 0.7,
    )  # fmt: skip


def test_a_veto_of_another_user_decides_nothing():
    assert decide([Candidate(X, 0.8), Candidate(Y, 0.6, 1.0)], POLICY).user_id == X


def test_an_ambiguous_or_unreliable_face_is_not_called_vetoed():
    close = [Candidate(X, 0.8, 0.9), Candidate(Y, 0.79)]
    assert decide(close, POLICY).reason == "ambiguous"
    assert decide(close[:1], POLICY, reliable=False).reason == "unreliable"


@given(st.lists(st.tuples(users.filter(bool), st.floats(-1, 1), st.none() | st.floats(-1, 1))))
def test_a_veto_only_ever_takes_a_name_away(found):
    marked = [Candidate(*one) for one in found]
    plain = [Candidate(one.user_id, one.similarity) for one in marked]
    with_vetoes, without = decide(marked, POLICY), decide(plain, POLICY)
    assert with_vetoes.user_id in {None, without.user_id}
    assert with_vetoes.similarity == without.similarity
    if with_vetoes.user_id is None and without.user_id is not None:
        assert with_vetoes.reason == "vetoed"
        assert with_vetoes.vetoed == without.user_id


def test_the_veto_stays_where_another_candidate_is_erased():
    found = [Candidate(X, 0.8, 0.9), Candidate(Y, 0.6)]
    decision, was_erased = decide_without({Y}, found, POLICY)
    assert (decision.reason, decision.vetoed, was_erased) == ("vetoed", X, False)
    close = [Candidate(X, 0.8, 0.9), Candidate(Y, 0.79)]
    decision, was_erased = decide_without({Y}, close, POLICY)
    assert (decision.reason, decision.vetoed, was_erased) == ("ambiguous", None, False)
    of_erased = [Candidate(X, 0.9), Candidate(Y, 0.7, 0.8)]
    decision, was_erased = decide_without({X}, of_erased, POLICY)
    assert (decision.reason, decision.vetoed, was_erased) == ("below_threshold", None, True)
    decision, was_erased = decide_without({X}, [Candidate(X, 0.8), Candidate(Y, 0.6)], POLICY)
    assert (decision.vetoed, was_erased) == (None, True)


@given(labels, users.filter(bool))
def test_not_x_takes_x_away_and_nothing_else(label, user):
    after = relabelled(NOT, label, user)
    if label.user_id != user:
        assert after is None
    else:
        assert after == replace(label, user_id=None, decision="vetoed")


@given(labels, users.filter(bool))
def test_is_y_names_y(label, user):
    after = relabelled(IS, label, user)
    assert (after.user_id, after.decision, after.similarity) == (user, "matched", None)


@given(st.lists(labels, max_size=30), users.filter(bool))
def test_not_x_vetoes_the_best_embeddings(faces, user):
    vetoes = vetoes_of(NOT, faces, user)
    usable = [one for one in faces if one.decision != "unreliable"]
    assert len(vetoes) == min(MOST_VETOED, len({one.embedded_as for one in usable}))
    assert {veto.user_id for veto in vetoes} <= {user}
    assert {veto.face_id for veto in vetoes} <= {one.embedded_as for one in usable}


def test_a_face_with_its_own_embedding_and_a_better_one_is_vetoed_first():
    faces = [a_label(n, quality=n / 1000) for n in range(100, 120)]
    followed = a_label(200, quality=1.0, has_embedding=False, embedded_as=UUID(int=201))
    vetoed = {veto.face_id for veto in vetoes_of(NOT, [*faces, followed], X)}
    assert vetoed == {UUID(int=n) for n in range(110, 120)}


@given(st.lists(labels, max_size=30), users.filter(bool))
def test_is_y_vetoes_whom_the_faces_were_taken_for_and_never_y(faces, user):
    vetoes = vetoes_of(IS, faces, user)
    taken = {one.user_id for one in faces if one.decision != "unreliable"} - {None, user}
    assert {veto.user_id for veto in vetoes} == taken


def test_is_y_of_a_face_of_x_says_not_x():
    assert vetoes_of(IS, [a_label(100, X)], Y) == {Veto(UUID(int=100), X)}


@given(labels, users.filter(bool), st.sampled_from([NOT, IS]))
def test_an_undo_restores_what_was_said(label, user, kind):
    correction = UUID(int=77)
    label = replace(label, decision=label.decision if label.user_id else "below_threshold")
    changed = relabelled(kind, label, user)
    if changed is None:
        return
    now = replace(changed, correction_id=correction)
    assert restored(label, now, correction) == replace(label, correction_id=correction)


@given(labels, labels)
def test_what_a_later_correction_says_stays(before, now):
    assert restored(before, replace(now, correction_id=UUID(int=8)), UUID(int=7)) is None


def test_a_user_who_was_erased_since_does_not_come_back():
    now = a_label(user=None, correction_id=UUID(int=7))
    after = restored(a_label(user=None, decision="matched"), now, UUID(int=7))
    assert (after.user_id, after.decision) == (None, "below_threshold")


@pytest.mark.parametrize(
    ("kind", "age", "undone", "code"),
    [
        (NOT, UNDO_WITHIN, False, None),
        (NOT, UNDO_WITHIN + timedelta(seconds=1), False, "too_late_to_undo"),
        (NOT, timedelta(), True, "already_undone"),
        (CorrectionKind.UNDO, timedelta(), False, "undo_of_an_undo"),
    ],
    ids=["in-time", "late", "undone", "undo"],
)
def test_an_undo_is_possible_once_and_for_thirty_days(kind, age, undone, code):
    if code is None:
        require_undoable(kind, NOW - age, NOW, undone=undone)
        return
    with pytest.raises(CorrectionError) as caught:
        require_undoable(kind, NOW - age, NOW, undone=undone)
    assert caught.value.code == code


def test_a_user_is_not_merged_with_itself():
    require_different(X, Y)
    with pytest.raises(CorrectionError):
        require_different(X, X)


@pytest.mark.parametrize(("wanted", "found"), [((), (X,)), ((X, Y), (X,))], ids=["none", "other"])
def test_photos_that_are_not_the_users_are_refused(wanted, found):
    with pytest.raises(CorrectionError):
        require_photos(wanted, found)


def test_photos_of_the_user_are_not():
    require_photos((X,), (X, Y))


def test_is_y_vetoes_of_each_user_the_faces_that_were_taken_for_that_one():
    faces = [a_label(100, X), a_label(101, Z), a_label(102, None)]
    assert vetoes_of(IS, faces, Y) == {Veto(UUID(int=100), X), Veto(UUID(int=101), Z)}


def test_not_x_again_is_said_of_what_a_person_has_said_before_and_of_nothing_else():
    said = {"user": None, "correction_id": UUID(int=9)}
    again, other = a_label(100, **said), a_label(101, **said)
    by_a_face, named = a_label(100, None), a_label(100, Z, correction_id=UUID(int=9))
    found = relabelled_all(NOT, [again, other, by_a_face, named], X, {UUID(int=100)})
    assert found == [again]
