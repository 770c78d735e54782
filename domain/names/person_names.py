"""Names of people: one rule for what may be one, one way to write it, one way to compare."""

import re
import unicodedata
from typing import Final

from precis_i18n import get_profile

from domain.names.unicode_scripts import look, mixes_scripts

MAX_NAME_CHARACTERS: Final = 200

_WORDS: Final = re.compile(r"[^\W\d_]+")
_BLANKS: Final = re.compile(r"\s+")
#: They choose between pictures of one character, and are invisible themselves.
_VARIATION_SELECTORS: Final = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")

_free_text = get_profile("OpaqueString")
_comparable = get_profile("NicknameCaseMapped")


class BadNameError(ValueError):
    """A name that is refused; the message says why, for people."""


def tidy_name(text: str) -> str:
    """A person's name as it is stored: Unicode NFC, single spaces, nothing invisible.

    Characters are those of the PRECIS FreeformClass (RFC 8264, RFC 8265 section 4.2); no word mixes
    scripts that are not written together.

    Raises:
        BadNameError: it is empty, too long, or has invisible or misleading characters.
    """
    name = require_visible(_BLANKS.sub(" ", _VARIATION_SELECTORS.sub("", text)).strip())
    name = _BLANKS.sub(" ", name).strip()
    if not any(character.isalnum() for character in name):
        raise BadNameError("a name must contain letters or digits")
    if len(name) > MAX_NAME_CHARACTERS:
        raise BadNameError(f"a name must have at most {MAX_NAME_CHARACTERS} characters")
    for word in _WORDS.findall(name):
        if mixes_scripts(word):
            raise BadNameError(f"{word!r} mixes letters of several scripts that look alike")
    return name


def name_key(name: str) -> str:
    """What two spellings of one name have in common: case, width and spaces do not count.

    Args:
        name: as `tidy_name` gives it.

    Raises:
        BadNameError: as `tidy_name`.
    """
    return _enforced(_comparable, tidy_name(name))


def name_looks(name: str) -> frozenset[str]:
    """What a name looks like; names that share one of these would be confused.

    That is its letters, marks and digits alone, without case, spaces and punctuation, and the same
    with look-alike letters as Latin ones.
    """
    return frozenset({_letters(name.casefold()), _letters(look(name))})


def require_visible(text: str) -> str:
    """The text in NFC, with every kind of space as a plain one.

    Raises:
        BadNameError: it has control, invisible, unassigned or lone surrogate characters.
    """
    return _enforced(_free_text, text) if text else text


def _letters(text: str) -> str:
    together = unicodedata.normalize("NFKC", text)
    return "".join(one for one in together if one.isalnum() or unicodedata.category(one)[0] == "M")


def _enforced(profile: object, text: str) -> str:
    try:
        enforced: str = profile.enforce(text)  # type: ignore[attr-defined]  # every profile has it
    except UnicodeEncodeError as error:
        raise BadNameError(describe(error)) from error
    return enforced


def describe(error: UnicodeEncodeError) -> str:
    """What a PRECIS profile found wrong, for people; the character by its number."""
    character = error.object[error.start : error.start + 1]
    if not character or error.end - error.start > 1:
        return f"characters that do not go together ({error.reason})"
    return (
        f"the character U+{ord(character):04X} at place {error.start + 1} is not accepted: "
        "it is invisible, a control character, or not in use"
    )
