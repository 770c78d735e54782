"""Scripts of written words: which letters belong together, and which only look alike.

Sources: Unicode Technical Standard 39 (Unicode Security Mechanisms), restriction level "Highly
Restrictive" (section 5.2) and the single-letter confusables of Latin, Cyrillic and Greek.
"""

import unicodedata
from functools import lru_cache
from typing import Final

#: Scripts that are written together in one word.
_TOGETHER: Final = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
)

_CYRILLIC: Final = "АВЕКМНОРСТУХЅІЈаеорсухѕіјһӏԁԛԝ"  # noqa: RUF001 - the letters that are meant
_AS_CYRILLIC: Final = "ABEKMHOPCTYXSIJaeopcyxsijhldqw"
_GREEK: Final = "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαινορυχ"
_AS_GREEK: Final = "ABEZHIKMNOPTYXaivopux"
_LOOKS: Final = str.maketrans(_CYRILLIC + _GREEK, _AS_CYRILLIC + _AS_GREEK)


def mixes_scripts(word: str) -> bool:
    """Whether a word has letters of scripts that are not written together: Latin and Cyrillic, say.

    Digits, signs and accents belong to every script.
    """
    scripts = {script for one in unicodedata.normalize("NFKC", word) if (script := _script(one))}
    return len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER)


def look(text: str) -> str:
    """The text with Latin letters in place of the Cyrillic and Greek ones that look like them.

    Two texts with the same look are confused with each other, case left aside.
    """
    return unicodedata.normalize("NFKC", text).translate(_LOOKS).casefold()


@lru_cache(maxsize=4096)
def _script(character: str) -> str | None:
    """The script of a letter, the first word of its Unicode name; None of anything else."""
    if unicodedata.category(character) not in {"Lu", "Ll", "Lt", "Lo"}:
        return None
    return unicodedata.name(character, "").partition(" ")[0] or None
