from datetime import UTC, datetime, timedelta
from statistics import median_low
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.decisions.liveness import (
    BEST_CHECKED,
    STILL_PAIRS,
    STILL_SECONDS,
    STILL_SIMILARITY,
    CheckedFace,
    InputMeasures,
    InputPolicy,
    best_checked,
    fused,
    is_acceptable,
    is_spoof,
    is_suspected,
    judged,
    of_presence,
    shape_motion,
    stillness_after,
)
from domain.liveness_result import INPUT_REJECTED, NOT_RUN, Liveness, LivenessStatus

MODEL = "minifasnet-00000000"
START = datetime(2026, 11, 23, 9, tzinfo=UTC)
FACE = (30.0, 40.0, 70.0, 42.0, 50.0, 60.0, 35.0, 80.0, 66.0, 81.0)

scores = st.floats(0.0, 1.0)
results = st.one_of(
    st.sampled_from([INPUT_REJECTED, NOT_RUN]),
    st.builds(judged, st.just(MODEL), scores, st.just(0.5)),
)
names = st.integers(0, 2**64).map(lambda number: UUID(int=number))
checked = st.lists(
    st.builds(CheckedFace, scores, names, results), max_size=14, unique_by=lambda one: one.face_id
)


@given(score=scores, threshold=scores)
def test_the_threshold_decides_about_a_face(score, threshold):
    found = judged(MODEL, score, threshold)
    assert found == Liveness(
        model=MODEL, score=score, status="live" if score >= threshold else "spoof"
    )


@pytest.mark.parametrize("score", [float("nan"), float("-inf"), -0.1])
def test_what_is_no_probability_is_no_person(score):
    assert judged(MODEL, score, 0.5) == Liveness(model=MODEL, score=0.0, status="spoof")


@given(
    mode=st.sampled_from(["off", "observe", "gate"]),
    own=st.none() | results,
    of_track=st.none() | results,
)
def test_only_the_gate_refuses_and_only_a_spoof(mode, own, of_track):
    spoof = any(one is not None and one.status == "spoof" for one in (own, of_track))
    assert is_suspected(mode, own, of_track) is (mode == "gate" and spoof)


@given(faces=checked, order=st.randoms())
def test_the_order_of_faces_does_not_count(faces, order):
    others = list(faces)
    order.shuffle(others)
    assert fused(others) == fused(faces)
    assert fused([*faces, *faces]) == fused(faces)


@given(faces=checked)
def test_the_median_of_the_best_decides(faces):
    ran = sorted(
        (one for one in faces if one.liveness.score is not None),
        key=lambda one: (-one.quality, one.face_id),
    )[:BEST_CHECKED]
    found = fused(faces)
    if not ran:
        assert found is None
        return
    values = [one.liveness.score for one in ran]
    expected = median_low(values)
    assert found is not None
    assert found.score == expected
    assert found in [one.liveness for one in ran]


@given(faces=checked, more=checked)
def test_worse_faces_than_the_best_change_nothing(faces, more):
    best = best_checked(faces)
    if len(best) == BEST_CHECKED:
        known = {one.face_id for one in faces}
        others = [one for one in more if one.face_id not in known]
        worse = [one._replace(quality=best[-1].quality - 1.0) for one in others]
        assert fused([*faces, *worse]) == fused(faces)


@given(faces=checked, rejected=st.booleans(), present=st.booleans(), still=st.booleans())
def test_a_visit_is_live_only_if_a_model_said_so(faces, rejected, present, still):
    best = best_checked(faces)
    found = of_presence(best, rejected=rejected, present=present or bool(best), still=still)
    if not best and not present:
        assert found is None
    elif still:
        assert is_spoof(found)
    elif not best:
        assert found == (INPUT_REJECTED if rejected else NOT_RUN)
    else:
        assert found == fused(best)
    if found is not None and found.status == LivenessStatus.LIVE:
        assert any(one.liveness.status == LivenessStatus.LIVE for one in faces)


@given(spoofs=st.integers(2, 9), lives=st.integers(0, 9))
def test_a_minority_of_lucky_frames_makes_no_person(spoofs, lives):
    faces = [
        CheckedFace(0.9, UUID(int=index), judged(MODEL, 0.02 if index < spoofs else 0.98, 0.5))
        for index in range(spoofs + lives)
    ]
    if lives <= spoofs and spoofs + lives <= BEST_CHECKED:
        assert is_spoof(fused(faces))


@pytest.mark.parametrize(
    ("measures", "acceptable"),
    [
        (InputMeasures(0.0, 1.0, 128.0), True),
        (InputMeasures(0.11, 1.0, 128.0), False),
        (InputMeasures(0.0, 1.05, 128.0), False),
        (InputMeasures(0.0, 1.0, 59.0), False),
    ],
)
def test_pictures_of_no_use_are_rejected(measures, acceptable):
    assert is_acceptable(measures, InputPolicy()) is acceptable


@given(
    turn=st.complex_numbers(min_magnitude=0.2, max_magnitude=5.0),
    shift=st.complex_numbers(max_magnitude=500.0),
)
def test_a_picture_in_a_moving_hand_does_not_move_by_itself(turn, shift):
    points = [complex(x, y) * turn + shift for x, y in zip(FACE[::2], FACE[1::2], strict=True)]
    moved = tuple(value for point in points for value in (point.real, point.imag))
    assert shape_motion(FACE, moved) < 1e-6


@given(index=st.integers(0, 9), by=st.floats(4.0, 30.0))
def test_a_face_that_moves_is_seen_to_move(index, by):
    moved = tuple(value + by * (place == index) for place, value in enumerate(FACE))
    assert shape_motion(FACE, moved) > 0.01


def test_a_face_without_a_distance_of_the_eyes_has_no_shape():
    assert shape_motion((5.0,) * 10, FACE) == float("inf")


def still(times, similarities):
    found = None
    for number, (second, similarity) in enumerate(zip(times, similarities, strict=True)):
        at = START + timedelta(seconds=second)
        found = stillness_after(found, UUID(int=number), FACE, at, similarity)
    return found


@pytest.mark.parametrize(
    ("times", "similarities", "found"),
    [
        ([0, 1, 2, 3], [None, 0.9999, 0.9999, 0.9999], True),
        ([0, 1, 2], [None, 0.9999, 0.9999], False),  # too few
        ([0, 0.1, 0.2, 0.3], [None, 0.9999, 0.9999, 0.9999], False),  # one picture sent again
        ([0, 1, 2, 3], [None, 0.9999, 0.99, 0.9999], False),  # a person
        ([0, 1, 2, 3], [None, 0.9999, None, 0.9999], False),  # unknown is not still
        ([0, 1, 2, 3, 4], [None, 0.9999, 0.9999, 0.9999, 0.9], True),  # it remains
        ([0, 1, 2, 3, 4, 5], [None, 0.9999, 0.9999, 0.9999, 0.9, 0.9999], True),
        ([0, 1, 2, 3], [None, STILL_SIMILARITY, 1.0, 1.0], False),
    ],
)
def test_a_picture_is_one_that_follows_itself_too_exactly(times, similarities, found):
    assert still(times, similarities).found is found


def test_an_exact_follower_whose_face_moves_is_no_picture():
    found = None
    for number in range(6):
        face = tuple(value + 3.0 * (number % 2) * (place == 4) for place, value in enumerate(FACE))
        at = START + timedelta(seconds=number)
        found = stillness_after(found, UUID(int=number), face, at, 0.9999)
    assert found is not None
    assert not found.found


@given(
    gaps=st.lists(st.floats(0.01, 3.0), min_size=1, max_size=12),
    similarities=st.lists(st.floats(0.5, 1.0), min_size=13, max_size=13),
)
def test_only_a_long_run_of_exact_followers_is_a_picture(gaps, similarities):
    times = [sum(gaps[:count]) for count in range(len(gaps) + 1)]
    found = still(times, similarities[: len(times)]).found
    expected = any(
        end - start >= STILL_PAIRS
        and timedelta(seconds=times[end]) - timedelta(seconds=times[start])
        >= timedelta(seconds=STILL_SECONDS)
        and all(one > STILL_SIMILARITY for one in similarities[start + 1 : end + 1])
        for start in range(len(times))
        for end in range(len(times))
        if end > start
    )
    assert found is expected
