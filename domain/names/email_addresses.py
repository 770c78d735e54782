"""E-mail addresses that name users: one rule for what may be one, and one way to write it.

Whether mail arrives there is not checked. Sources: RFC 5321 (dot-atom), RFC 8265 section 3.3
(UsernameCaseMapped) for the part before the @, UTS 46 and IDNA 2008 for the domain, UTS 39 for
letters that look alike.
"""

import re
import unicodedata
from typing import Final

import idna
from precis_i18n import get_profile

from domain.names.person_names import BadNameError, describe, require_visible
from domain.names.unicode_scripts import mixes_scripts

MAX_ADDRESS_CHARACTERS: Final = 320
_MAX_LOCAL_CHARACTERS: Final = 64

#: What RFC 5321 allows in quotes alone: pasted with a name or in a list, an address is another.
_SPECIALS: Final = re.compile(r'[()<>\[\]:;,\\"]')

_NONE: Final = "no e-mail address"
_MIXED: Final = f"{_NONE}: it mixes letters of several scripts that look alike"

_user_name = get_profile("UsernameCaseMapped")


class BadAddressError(ValueError):
    """An address that is refused; the message says why, for people."""


def normal_address(text: str) -> str:
    """An address as it is stored and compared: NFKC, lower case, the domain in Unicode.

    ``ZOË@MÜLLER.example``, in NFC or NFD, and ``zoë@xn--mller-kva.example`` are one address.

    Raises:
        BadAddressError: it is not an address, is too long, or has invisible or misleading
            characters.
    """
    try:
        visible = require_visible(text.strip())
    except BadNameError as error:
        raise BadAddressError(f"{_NONE}: {error}") from error
    local, at, domain = unicodedata.normalize("NFKC", visible).partition("@")
    if not (local and at and domain) or "@" in domain:
        raise BadAddressError(f"{_NONE}: it has no single @ with a name before and a domain after")
    address = f"{_local(local)}@{_domain(domain)}"
    if len(address) > MAX_ADDRESS_CHARACTERS:
        raise BadAddressError(f"{_NONE}: over {MAX_ADDRESS_CHARACTERS} characters")
    return address


def spellings(text: str) -> tuple[str, ...]:
    """How a user's address may be stored: as it is written, then as `normal_address` has it.

    Users of a time before there was one way of writing are found by their own.
    """
    written = text.strip()
    try:
        normal = normal_address(written)
    except BadAddressError:
        return (written,)
    return tuple(dict.fromkeys((written, normal)))


def _local(text: str) -> str:
    if _SPECIALS.search(text) or text.startswith(".") or text.endswith(".") or ".." in text:
        raise BadAddressError(f"{_NONE}: there are signs before the @ that it cannot have")
    try:
        local: str = _user_name.enforce(text)
    except UnicodeEncodeError as error:
        raise BadAddressError(f"{_NONE}: {describe(error)}") from error
    if len(local) > _MAX_LOCAL_CHARACTERS:
        raise BadAddressError(f"{_NONE}: over {_MAX_LOCAL_CHARACTERS} characters before the @")
    if mixes_scripts(local):
        raise BadAddressError(_MIXED)
    return local


def _domain(text: str) -> str:
    try:
        domain = idna.decode(idna.encode(text, uts46=True, std3_rules=True))
    except UnicodeError as error:
        raise BadAddressError(f"{_NONE}: the domain is none ({error})") from error
    if any(mixes_scripts(label) for label in domain.split(".")):
        raise BadAddressError(_MIXED)
    return domain.removesuffix(".")
