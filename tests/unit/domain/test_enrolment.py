import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.decisions.enrolment import EnrolmentPolicy, refusal_of
from domain.events import DetectedFace

POLICY = EnrolmentPolicy(min_quality=0.35, min_face_pixels=40)


def face(*, width=100.0, height=100.0, quality=0.9, reliable=True):
    return DetectedFace(
        box=(0.0, 0.0, width, height),
        landmarks=(0.0,) * 10,
        score=0.9,
        quality=quality,
        embedding=b"",
        crop=b"",
        measures={"sharpness": 0.5},
        reliable=reliable,
    )


@given(
    faces=st.lists(
        st.builds(
            face,
            width=st.floats(1, 200),
            height=st.floats(1, 200),
            quality=st.floats(0, 1),
        ),
        max_size=4,
    )
)
def test_exactly_the_photos_of_one_fit_face_are_taken(faces):
    refusal = refusal_of(faces, POLICY)
    fit = len(faces) == 1 and min(faces[0].box[2:]) >= 40 and faces[0].quality >= 0.35
    assert (refusal is None) == fit
    if refusal is not None:
        assert refusal.code in {"no_face", "several_faces", "poor_quality"}
        assert refusal.message
        assert refusal.measures


@pytest.mark.parametrize(
    ("faces", "code", "measured"),
    [
        ([], "no_face", {"faces": 0}),
        ([face(), face()], "several_faces", {"faces": 2}),
        ([face(width=30)], "poor_quality", {"face_pixels": 30, "sharpness": 0.5}),
        ([face(quality=0.2)], "poor_quality", {"quality": 0.2, "sharpness": 0.5}),
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
