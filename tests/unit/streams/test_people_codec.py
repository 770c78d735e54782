"""Changes of people as other programs read them."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.events import utc_now
from domain.people.people_changes import PeopleChange, PeopleChangeType
from streams.contract.people_codec import change_from_json, change_headers, change_to_json

IDS = st.none() | st.uuids()
A, B, C, D, E = (UUID(int=number) for number in range(1, 6))

CHANGES = st.builds(
    PeopleChange,
    change_id=st.uuids(),
    type=st.sampled_from(PeopleChangeType),
    at=st.datetimes(timezones=st.just(utc_now().tzinfo)),
    user_id=IDS,
    other_user_id=IDS,
    unknown_id=IDS,
    other_unknown_id=IDS,
    face_ids=st.lists(st.uuids(), max_size=3).map(tuple),
    visit_ids=st.lists(st.uuids(), max_size=3).map(tuple),
    correction_id=IDS,
    correction=st.none() | st.text(max_size=9),
    undoes=IDS,
)


@given(change=CHANGES)
def test_what_is_written_is_read(change):
    assert change_from_json(change_to_json(change)) == change


@given(change=CHANGES)
def test_the_headers_name_the_change_and_its_subject(change):
    headers = {name: value.decode() for name, value in change_headers(change)}
    assert headers["ce_specversion"] == "1.0"
    assert headers["ce_id"] == str(change.change_id)
    assert headers["ce_source"] == "fecapass/people"
    assert headers["ce_type"] == change.type
    assert headers["ce_subject"] == str(change.key)


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"user_id": A, "other_user_id": B, "unknown_id": C, "other_unknown_id": D}, A),
        ({"other_user_id": B, "unknown_id": C, "other_unknown_id": D}, C),
        ({"other_user_id": B}, B),
        ({"other_unknown_id": D}, D),
        ({}, E),
    ],
    ids=["user", "unknown", "other-user", "other-unknown", "none"],
)
def test_the_key_is_whom_it_is_about(fields, key):
    change = PeopleChange(change_id=E, type=PeopleChangeType.USER_MERGED, at=utc_now(), **fields)
    assert change.key == key
    assert change.users == {fields[name] for name in ("user_id", "other_user_id") if name in fields}
