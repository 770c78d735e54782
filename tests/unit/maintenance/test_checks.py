"""Which parts of faces have no row: pure, whatever keys and rows there are."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.object_keys import crop_key, name_of_picture
from domain.personal_data import FacePart
from infra.maintenance.checks import without_row
from tests.contract.builders import NOON

faces = st.integers(0, 5).map(lambda number: UUID(int=number))
cameras = st.sampled_from(["door", "door-1", "../x", ""])
crops = st.tuples(cameras, faces).map(lambda one: (crop_key(one[0], NOON, one[1]), one[1]))
foreign = st.sampled_from(
    [
        "crops/readme.txt",
        "crops/a/2026/05/04/not-a-face.jpg",
        "crops/a/00000000000000000000000000000001.jpg",
        "crops/a/00000000-0000-0000-0000-00000000000A.jpg",
        "crops/a/00000000-0000-0000-0000-000000000001.png",
        "crops/",
    ]
).map(lambda key: (key, None))
rows = st.dictionaries(faces, st.one_of(st.none(), crops.map(lambda one: one[0])))


@given(st.one_of(crops, foreign))
def test_the_key_of_a_crop_contains_the_face(key_and_face):
    key, face = key_and_face
    assert name_of_picture(key) == face


@given(page=st.lists(crops), rows=rows)
def test_crops_are_left_that_no_row_names(page, rows):
    parts = [FacePart(face, "crop", key) for key, face in page]
    assert without_row(parts, rows) == [
        one for one in parts if rows.get(one.face_id) != one.crop_key
    ]


@given(page=st.lists(faces), rows=rows)
def test_embeddings_are_left_whose_faces_have_no_row(page, rows):
    """Whatever crop the row names."""
    parts = [FacePart(face, "sighting") for face in page]
    assert without_row(parts, rows) == [one for one in parts if one.face_id not in rows]
