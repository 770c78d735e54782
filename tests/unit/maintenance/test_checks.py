"""Which objects are crops without a row: pure, whatever keys and rows there are."""

from datetime import timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.object_keys import crop_key
from infra.maintenance.checks import crops_by_face, without_row
from sinks.objects.crops import StoredObject
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
ages = st.integers(-5, 5)


@given(
    page=st.lists(st.tuples(st.one_of(crops, foreign), ages)),
    rows=st.dictionaries(faces, st.one_of(st.none(), crops.map(lambda one: one[0]))),
)
def test_what_is_left_is_old_is_a_crop_and_is_named_by_no_row(page, rows):
    objects = [StoredObject(key, NOON + timedelta(seconds=age)) for (key, _), age in page]
    orphans = without_row(crops_by_face(objects, NOON), rows)
    assert {key for keys in orphans.values() for key in keys} == {
        key for (key, face), age in page if face is not None and age < 0 and rows.get(face) != key
    }
    assert all(str(face_id) in key for face_id, keys in orphans.items() for key in keys)
