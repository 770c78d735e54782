"""Removes secrets from any text, also from a library's message or a traceback."""

import json
from collections.abc import Iterator
from urllib.parse import quote

from pydantic import BaseModel, SecretStr

from config.network.http_proxies import ProxyUrl

MASK = "**********"

#: A shorter secret would blot out ordinary words, and is no secret.
_SHORTEST = 6


def secrets_of(settings: BaseModel) -> Iterator[str]:
    """The value of every secret in the settings, whatever group it is in."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, ProxyUrl):
            yield from value.secrets()
        elif isinstance(value, BaseModel):
            yield from secrets_of(value)


class Redaction:
    """Puts asterisks in the place of secrets, as they are, in a URL, or in JSON."""

    def __init__(self, settings: BaseModel) -> None:
        """Learn the secrets of these settings."""
        known = {secret for secret in secrets_of(settings) if len(secret) >= _SHORTEST}
        spelt = known | {quote(secret, safe="") for secret in known}
        spelt |= {json.dumps(secret, ensure_ascii=False)[1:-1] for secret in known}
        # A secret may hold another one: the longer goes first, so that no end of it is left.
        self._spelt = sorted(spelt, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without the secrets."""
        for secret in self._spelt:
            text = text.replace(secret, MASK)
        return text
