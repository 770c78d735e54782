"""External ids, metadata and labels of users."""

import math
import unicodedata
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.store_rows import UserRow
from domain.users.external_ids import BadExternalIdError, tidy_external_id
from domain.users.user_metadata import (
    MAX_BYTES,
    MAX_INTEGER,
    MAX_KEY_CHARACTERS,
    MAX_KEYS,
    MAX_TEXT_CHARACTERS,
    BadMetadataError,
    checked_metadata,
    merged_metadata,
)
from tests.contract.builders import NOON

TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)
VALUES = st.one_of(
    TEXT,
    st.booleans(),
    st.integers(-MAX_INTEGER, MAX_INTEGER),
    st.floats(allow_nan=False, allow_infinity=False),
)
OBJECTS = st.dictionaries(TEXT.filter(bool), VALUES, max_size=8)
CHANGES = st.dictionaries(TEXT.filter(bool), st.none() | VALUES, max_size=8)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (" staff-4711 ", "staff-4711"),
        ("A/b:c", "A/b:c"),
        (unicodedata.normalize("NFD", "é1"), "é1"),
        ("7a0e6a0a-0a51-4a8e-9a0d-1f6f5ce3d2b1", "7a0e6a0a-0a51-4a8e-9a0d-1f6f5ce3d2b1"),
    ],
)
def test_an_external_id_is_stored_in_one_way(text, stored):
    assert tidy_external_id(text) == stored
    assert tidy_external_id(stored) == stored


def test_the_case_of_an_external_id_counts():
    assert tidy_external_id("ab") != tidy_external_id("AB")


@pytest.mark.parametrize(
    "text", ["", "   ", "x" * 201, "a\x00b", "a\u200bb", "\ud800"], ids=lambda text: ascii(text[:9])
)
def test_what_is_no_external_id_is_refused(text):
    with pytest.raises(BadExternalIdError, match="no external id"):
        tidy_external_id(text)


@given(OBJECTS)
def test_metadata_of_plain_values_is_kept_as_it_is(metadata):
    checked = checked_metadata(metadata)
    assert checked == metadata
    assert all(type(checked[key]) is type(value) for key, value in metadata.items())


@pytest.mark.parametrize(
    "metadata",
    [
        {"": "x"},
        {"k" * (MAX_KEY_CHARACTERS + 1): "x"},
        {"k\x00": "x"},
        {"k": None},
        {"k": ["x"]},
        {"k": {"x": 1}},
        {"k": "x" * (MAX_TEXT_CHARACTERS + 1)},
        {"k": "x\x00"},
        {"k": "\ud800"},
        {"k": MAX_INTEGER + 1},
        {"k": -MAX_INTEGER - 1},
        {"k": math.nan},
        {"k": -math.inf},
        {str(number): 1 for number in range(MAX_KEYS + 1)},
        {str(number): "é" * MAX_TEXT_CHARACTERS for number in range(MAX_KEYS)},
    ],
    ids=[
        "empty key", "long key", "control in key", "null", "list", "object", "long text",
        "control in text", "surrogate", "large", "small", "nan", "infinite", "many", "bytes",
    ],
)  # fmt: skip
def test_metadata_that_is_not_small_and_flat_is_refused(metadata):
    with pytest.raises(BadMetadataError):
        checked_metadata(metadata)


def test_a_refusal_of_metadata_repeats_no_value():
    with pytest.raises(BadMetadataError) as caught:
        checked_metadata({"k": "secret" * MAX_TEXT_CHARACTERS})
    assert "secret" not in str(caught.value)


@given(OBJECTS, CHANGES)
def test_a_change_sets_and_removes_the_keys_that_it_names_and_no_other(stored, changes):
    merged = merged_metadata(stored, changes)
    kept = {key: value for key, value in stored.items() if key not in changes}
    set_now = {key: value for key, value in changes.items() if value is not None}
    assert merged == kept | set_now
    assert merged_metadata(merged, changes) == merged


def test_what_a_change_leads_to_is_bounded_too():
    stored = {str(number): 1 for number in range(MAX_KEYS)}
    with pytest.raises(BadMetadataError):
        merged_metadata(stored, {"one more": 1})
    assert len(merged_metadata(stored, {"one more": 1, "0": None})) == MAX_KEYS
    assert len(msgspec.json.encode(stored)) < MAX_BYTES


@pytest.mark.parametrize(
    ("email", "full_name", "external_id", "label"),
    [
        ("a@b.example", "Ada", "7", "Ada"),
        ("a@b.example", None, "7", "a@b.example"),
        (None, None, "7", "7"),
        (None, None, None, "7a0e6a0a-0a51-4a8e-9a0d-1f6f5ce3d2b1"),
    ],
)
def test_a_user_is_called_by_what_there_is(email, full_name, external_id, label):
    row = UserRow(
        id=UUID("7a0e6a0a-0a51-4a8e-9a0d-1f6f5ce3d2b1"),
        email=email,
        full_name=full_name,
        external_id=external_id,
        is_active=True,
        created_at=NOON,
        updated_at=NOON,
    )
    assert row.label == label
