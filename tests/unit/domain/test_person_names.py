"""Names of people: how they are stored, which are one, which are none."""
# ruff: noqa: RUF001 - letters that look alike are what is tested

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.names.person_names import BadNameError, name_key, name_looks, tidy_name


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("  Ada   Lovelace\t", "Ada Lovelace"),
        (unicodedata.normalize("NFD", "José"), "José"),
        ("Ada\u00a0Lovelace", "Ada Lovelace"),
        ("葛\U000e0100城", "葛城"),
        ("O’Neil", "O’Neil"),
        ("Анна Lee", "Анна Lee"),
        ("علی\u200cرضا", "علی\u200cرضا"),
        ("ジョン・スミス", "ジョン・スミス"),
        ("Kaʻiulani", "Kaʻiulani"),
        ("कमला देवी", "कमला देवी"),
        ("50%_M", "50%_M"),
    ],
)
def test_field_07_a_name_is_stored_in_one_way(text, stored):
    assert tidy_name(text) == stored


@pytest.mark.parametrize(
    "bad",
    ["", "   ", "\u0007", "-", "Ada\u200b", "A\u00adda", "Ada\u202e", "\ufeffAda", "Ada\udcff",
     "\u0410nna", "An\u03bda", "x" * 201],
)  # fmt: skip
def test_field_07_what_deceives_or_is_none_is_refused(bad):
    with pytest.raises(BadNameError):
        tidy_name(bad)


def test_field_07_names_that_would_be_confused_look_the_same():
    def same(one, other):
        return bool(name_looks(tidy_name(one)) & name_looks(tidy_name(other)))

    assert same("Anna Lee", "anna-lee")
    assert same("JOSÉ", "Jose\u0301")
    assert same("ABBA", "АВВА")
    assert same("ada", "аԁа")
    assert not same("José", "Jose")
    assert not same("कमल", "कमला")
    assert not same("ハン", "バン")
    assert not same("Anna", "Anne")


@given(st.text(max_size=40))
def test_a_stored_name_stays_as_it_is_and_has_a_key(text):
    try:
        name = tidy_name(text)
    except BadNameError:
        return
    assert tidy_name(name) == name
    assert name_key(name) == name_key(f" {name} ")
