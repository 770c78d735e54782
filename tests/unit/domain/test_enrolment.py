import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.decisions.dominant_face import SMALLER
from domain.decisions.enrolment import ChosenFace, EnrolmentPolicy, choose_face, refusal_of
from domain.events import DetectedFace

POLICY = EnrolmentPolicy(min_quality=0.35, min_face_pixels=40, min_score=0.8)
SIZE = (640, 480)
CODES = {"no_face", "several_faces", "poor_quality", "unreliable_face"}


def face(
    *,
    x=200.0,
    y=150.0,
    width=100.0,
    height=100.0,
    quality=0.9,
    reliable=True,
    score=0.9,
    weakest="",
    brightness=120.0,
    suspected=False,
):
    return DetectedFace(
        box=(x, y, width, height),
        landmarks=(0.0,) * 10,
        score=score,
        quality=quality,
        embedding=b"",
        crop=b"",
        measures={"sharpness": 0.5, "brightness": brightness},
        reliable=reliable,
        weakest=weakest,
        suspected=suspected,
    )


any_face = st.builds(
    face,
    x=st.floats(0, 400),
    y=st.floats(0, 300),
    width=st.floats(1, 200),
    height=st.floats(1, 150),
    quality=st.floats(0, 1),
    score=st.floats(0.5, 1),
    reliable=st.booleans(),
)


def is_fit(one):
    return min(one.box[2:]) >= 40 and one.quality >= 0.35 and one.score >= 0.8 and one.reliable


@given(faces=st.lists(any_face, max_size=4), size=st.sampled_from([SIZE, None]))
def test_only_a_fit_face_that_is_largest_is_taken(faces, size):
    chosen = choose_face(faces, POLICY, size)
    assert (chosen if not isinstance(chosen, ChosenFace) else None) == refusal_of(
        faces, POLICY, size
    )
    if isinstance(chosen, ChosenFace):
        assert is_fit(chosen.face)
        assert faces[chosen.index] is chosen.face
        assert chosen.ignored == len(faces) - 1
        assert (chosen.note is None) == (chosen.ignored == 0)
        sure = [one for one in faces if one.reliable and one.score >= 0.8]
        assert area(chosen.face) == max(map(area, sure))
        return
    assert chosen.code in CODES
    assert chosen.message
    assert chosen.measures
    if len(faces) == 1:
        assert not is_fit(faces[0])


@given(st.lists(any_face, min_size=2, max_size=4))
def test_of_two_fit_faces_of_like_size_in_the_middle_none_is_taken(faces):
    inner = [one for one in faces if is_fit(one) and is_inner(one)]
    if len(inner) < 2:
        return
    largest = max(inner, key=area)
    if any(one is not largest and area(one) > SMALLER * area(largest) for one in inner):
        chosen = choose_face(faces, POLICY, SIZE)
        assert not isinstance(chosen, ChosenFace) or area(chosen.face) > area(largest)


def area(one):
    return one.box[2] * one.box[3]


def is_inner(one):
    x, y, width, height = one.box
    return 20 < x < 620 - width and 20 < y < 460 - height


@pytest.mark.parametrize(
    ("other", "note"),
    [
        (face(x=400, width=70, height=70), "clearly smaller"),
        (face(x=545, width=95, height=95), "at the edge of the photo"),
        (face(x=400, width=95, height=95, quality=0.3), "of poor quality"),
        (face(x=400, width=130, height=130, score=0.75), "hardly a face"),
        (face(x=400, width=130, height=130, reliable=False), "hardly a face"),
        (face(x=400, width=100, height=50), "clearly smaller"),
        (face(x=400, y=385, width=95, height=95), "at the edge of the photo"),
        (face(x=400, y=0, width=95, height=95), "at the edge of the photo"),
    ],
    ids=["small", "edge", "poor", "doubtful", "unreliable", "half", "lower-edge", "upper-edge"],
)  # fmt: skip
def test_a_bystander_is_ignored_and_mentioned(other, note):
    for faces in ([face(), other], [other, face()]):
        chosen = choose_face(faces, POLICY, SIZE)
        assert isinstance(chosen, ChosenFace)
        assert chosen.face == face()
        assert (chosen.ignored, chosen.note) == (1, f"one other face is ignored: {note}")
    two = choose_face([face(), other, other], POLICY, SIZE)
    assert two.note == f"2 other faces are ignored: {note}"


@pytest.mark.parametrize(
    ("faces", "size"),
    [
        ([face(), face(x=400)], SIZE),
        ([face(), face(x=400, width=75, height=75)], SIZE),  # more than half of the area
        ([face(), face(x=545, width=95, height=95)], None),  # it is not known where the edge is
        ([face(x=0), face(x=545, width=95, height=95)], SIZE),  # both are at the edge
        ([face(quality=0.3), face(x=400, width=95, height=95, quality=0.2)], SIZE),  # both are poor
        ([face(score=0.7), face(x=400, score=0.7)], SIZE),
    ],
    ids=["equal", "not-small", "no-size", "both-at-edge", "both-poor", "both-doubtful"],
)
def test_where_two_faces_may_be_meant_none_is_taken(faces, size):
    refusal = refusal_of(faces, POLICY, size)
    assert refusal.code == "several_faces"
    assert refusal.measures == {"faces": 2}


@pytest.mark.parametrize(
    ("faces", "code", "measured"),
    [
        ([], "no_face", {"faces": 0}),
        ([face(), face()], "several_faces", {"faces": 2}),
        ([face(width=30)], "poor_quality", {"face_pixels": 30, "sharpness": 0.5}),
        ([face(quality=0.2)], "poor_quality", {"quality": 0.2, "sharpness": 0.5}),
        ([face(score=0.75)], "unreliable_face", {"quality": 0.9}),
    ],
)
def test_a_refusal_carries_what_was_measured(faces, code, measured):
    refusal = refusal_of(faces, POLICY)
    assert refusal.code == code
    assert measured.items() <= refusal.measures.items()


def test_field_01_a_turned_face_is_refused_whatever_its_quality():
    refusal = refusal_of([face(quality=1.0, reliable=False)], EnrolmentPolicy(0.0, 1))
    assert refusal.code == "unreliable_face"
    assert "upright" in refusal.message
    assert refusal.measures["sharpness"] == 0.5


def test_a_face_that_just_reaches_every_limit_is_taken():
    one = face(width=40.0, height=40.0, quality=0.35, score=0.8)
    assert isinstance(choose_face([one], POLICY, SIZE), ChosenFace)


def test_a_picture_of_a_person_is_refused():
    assert refusal_of([face(suspected=True)], POLICY).code == "spoof_suspected"


def test_a_false_face_is_refused_though_its_quality_is_good():
    """A coat that the detector took for a face with 0.75 had a quality of 0.83."""
    refusal = refusal_of([face(score=0.75, quality=0.83)], POLICY)
    assert refusal.code == "unreliable_face"
    assert "hardly a human face" in refusal.message
    assert "0.75, at least 0.8" in refusal.message


@pytest.mark.parametrize(
    ("weakest", "brightness", "words"),
    [
        ("frontality", 120, "the face is turned away"),
        ("sharpness", 120, "the face is not sharp"),
        ("size", 120, "the face is small"),
        ("exposure", 20, "the face is too dark"),
        ("exposure", 240, "the face is too bright"),
        ("exposure", 120, "the face has too little contrast"),
        ("", 120, "the face is of poor quality"),
        ("of a later release", 120, "the face is of poor quality"),
    ],
)
def test_a_refusal_names_the_weakest_measure(weakest, brightness, words):
    refusal = refusal_of([face(quality=0.2, weakest=weakest, brightness=brightness)], POLICY)
    assert refusal.message.startswith(f"{words}: its quality is 0.20, at least 0.35 is needed")


@given(st.floats(1, 39.999), st.floats(0, 0.3499), st.floats(0.5, 0.7999))
def test_what_a_refusal_says_is_less_than_what_it_says_is_needed(pixels, quality, score):
    for one in (face(width=pixels), face(quality=quality), face(score=score)):
        said = re.findall(r"\d+(?:\.\d+)?", refusal_of([one], POLICY).message)
        assert float(said[0]) < float(said[1])


def test_39_and_a_half_pixels_are_not_40():
    assert "is 39 pixels, at least 40" in refusal_of([face(width=39.52)], POLICY).message
