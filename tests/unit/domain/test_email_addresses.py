"""Addresses that name users: which are one, which are none."""
# ruff: noqa: RUF001 - letters that look alike are what is tested

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.names.email_addresses import BadAddressError, normal_address, spellings

ZOE = "zoë@müller.example"


@pytest.mark.parametrize(
    "spelled",
    [
        ZOE,
        unicodedata.normalize("NFD", ZOE),
        "ZOË@MÜLLER.EXAMPLE",
        "  zoë@müller.example \n",
        "zoë@xn--mller-kva.example",
        "zoë@XN--MLLER-KVA.example.",
        "ｚｏë＠müller.ｅｘａｍｐｌｅ",
    ],
)
def test_field_07_spellings_of_one_address_are_one(spelled):
    assert normal_address(spelled) == ZOE


@pytest.mark.parametrize(
    "address",
    ["ada@localhost", "ada@corp.local", "ada.l+x@example.com", "o'neil@b.ie", "иван@пример.рф",
     "山田@例え.jp", "straße@example.com", "a_b@x.de"],
)  # fmt: skip
def test_field_07_what_is_written_right_stays(address):
    assert normal_address(address) == address


@pytest.mark.parametrize(
    "bad",
    [
        "ada", "@", "a@", "@b", "a@b@c", "ada lovelace@b.de", "<ada@b.de>", "ada@b.de,",
        "a..b@c.de", ".a@b.de", "a@-b.de", "a@b..de", "a@[127.0.0.1]", f"{'x' * 65}@b.de",
        f"a@{'b' * 64}.de",
        "ada\u200b@b.de", "ada\u00ad@b.de", "ada\u202e@b.de", "ada@b\u200b.de", "\ufeffada@b.de",
        "a\x00@b.de", "ada\x1b@b.de", "ada\udcff@b.de",
        "\u0430da@b.de", "ada@\u0430pple.com", "ad\u03b1@b.de",
    ],
)  # fmt: skip
def test_field_07_what_deceives_or_is_none_is_refused(bad):
    with pytest.raises(BadAddressError, match="no e-mail address"):
        normal_address(bad)


@given(st.text(max_size=30), st.text(max_size=30))
def test_an_address_is_one_line_without_what_cannot_be_seen_and_stays_as_it_is(local, domain):
    try:
        address = normal_address(f"{local}@{domain}.example")
    except BadAddressError:
        return
    assert normal_address(address) == address
    assert address == unicodedata.normalize("NFC", address)
    assert address.isprintable()
    assert " " not in address


def test_a_user_is_looked_for_as_written_first():
    assert spellings(" Zoë@x.de") == ("Zoë@x.de", "zoë@x.de")
    assert spellings("zoë@x.de") == ("zoë@x.de",)
    assert spellings('"a b"@x') == ('"a b"@x',)
