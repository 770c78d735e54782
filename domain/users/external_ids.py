"""Ids that applications give to users: a personnel number, a key of another database."""

import unicodedata
from typing import Final

from domain.names.person_names import BadNameError, require_visible

MAX_EXTERNAL_ID_CHARACTERS: Final = 200


class BadExternalIdError(ValueError):
    """An external id that is refused; the message says why, for people."""


def tidy_external_id(text: str) -> str:
    """An external id as it is stored and compared: NFC, without spaces around it; case counts.

    Raises:
        BadExternalIdError: it is empty, too long, or has invisible characters.
    """
    try:
        tidy = unicodedata.normalize("NFC", require_visible(text.strip())).strip()
    except BadNameError as error:
        raise BadExternalIdError(f"no external id: {error}") from error
    if not tidy:
        raise BadExternalIdError("no external id: it is empty")
    if len(tidy) > MAX_EXTERNAL_ID_CHARACTERS:
        raise BadExternalIdError(f"no external id: over {MAX_EXTERNAL_ID_CHARACTERS} characters")
    return tidy
