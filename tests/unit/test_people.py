from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.people import NoPeopleError, address_of, people_in


def test_photos_are_of_the_person_that_folder_or_file_is_named_after(tmp_path: Path):
    for name in (
        "Ada/1.jpg",
        "Ada/2.png",
        "Bob Ray 1.jpg",
        "Bob Ray_02.jpeg",
        "notes.txt",
        "7.jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    people = {person.name: len(person.photos) for person in people_in(tmp_path)}
    assert people == {"Ada": 2, "Bob Ray": 2, "7": 1}


def test_a_folder_named_by_an_address_names_the_user(tmp_path: Path):
    photo = tmp_path / "ada_l@example.org" / "1.jpg"
    photo.parent.mkdir()
    photo.write_bytes(b"x")
    (person,) = people_in(tmp_path)
    assert (person.email, person.name) == ("ada_l@example.org", None)


@pytest.mark.parametrize("name", ["", "absent"])
def test_a_folder_without_photos_is_an_error(tmp_path: Path, name: str):
    with pytest.raises(NoPeopleError):
        people_in(tmp_path / name)


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_stand_in_addresses_are_ascii_and_stable(one: str, other: str):
    address = address_of(one)
    assert address == address_of(one)
    assert address.isascii()
    assert address.count("@") == 1
    assert " " not in address
    if not one.isascii() and not other.isascii() and one != other:
        assert address != address_of(other)
