"""What belongs to the request under way."""

import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

_CALLERS_OWN = re.compile(r"[A-Za-z0-9._\-]{8,64}")

#: The prefix of every address of this service, as callers see it; empty, or such as "/face".
prefix: ContextVar[str] = ContextVar("prefix", default="")

#: Scheme and host as callers see them, as "https://intra.example.com"; only from a trusted proxy.
origin: ContextVar[str] = ContextVar("origin", default="")

#: What the response says of the caller's limit of requests; empty before a key is known.
rate_headers: ContextVar[Mapping[str, str]] = ContextVar(
    "rate_headers", default=MappingProxyType({})
)


def address(path: str) -> str:
    """The address of something of this service, for callers: its path below the prefix.

    Args:
        path: beginning with a slash.
    """
    return prefix.get() + path


def choose_request_id(given: str | None) -> str:
    """The caller's own identifier when it is a harmless one, else a new one."""
    if given is not None and _CALLERS_OWN.fullmatch(given):
        return given
    return secrets.token_hex(12)
