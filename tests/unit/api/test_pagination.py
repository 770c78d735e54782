"""Cursors come back as they went out, and nothing else is one."""

import base64
from datetime import UTC
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.pagination import Cursor
from api.http.problems import ApiProblem

moments = st.datetimes(timezones=st.just(UTC))


@given(moments, st.uuids())
def test_a_cursor_survives_its_way_to_the_caller_and_back(at, identifier):
    text = Cursor(at, identifier).encode()
    assert Cursor.decode(text) == Cursor(at, identifier)
    assert text.isascii()
    assert not set(text) & set("+/=&?#")


@given(st.text(max_size=200))
def test_any_other_text_is_refused_and_breaks_nothing(text):
    try:
        cursor = Cursor.decode(text)
    except ApiProblem as problem:
        assert problem.code == "invalid_cursor"
    else:
        assert cursor.at.tzinfo is not None


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00"]
)
def test_a_moment_that_no_database_takes_is_refused(moment):
    text = base64.urlsafe_b64encode(f"{moment}|{uuid4()}".encode()).decode().rstrip("=")
    with pytest.raises(ApiProblem):
        Cursor.decode(text)


@pytest.mark.parametrize("text", ["", "MjAyNi0wMS0wMVQwMDowMDowMHw"])
def test_half_a_cursor_is_refused(text):
    with pytest.raises(ApiProblem):
        Cursor.decode(text)
