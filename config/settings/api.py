"""The HTTP gateway."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, IPvAnyNetwork

from config.settings.base import Count, Group, Port, PositiveSeconds

_SEGMENTS = re.compile(r"(/[A-Za-z0-9._~\-]{1,64}){1,8}")

#: The service's own addresses. A prefix that is one of them, or the beginning or the
#: continuation of one, could not be distinguished from the address after it.
_OWN = ("/api/v1", "/console", "/health", "/metrics", "/openapi.json")


def is_prefix(text: str) -> bool:
    """Whether a text may be the prefix of all addresses, such as ``/face``."""
    if not _SEGMENTS.fullmatch(text) or {".", ".."} & set(text.split("/")):
        return False
    return not any(
        own == text or own.startswith(f"{text}/") or text.startswith(f"{own}/") for own in _OWN
    )


def _root_path(text: str) -> str:
    text = text.rstrip("/")
    if text and not is_prefix(text):
        raise ValueError(
            "it must be a path such as /face, of letters, digits and . _ ~ -, and not one of the "
            "service's own"
        )
    return text


RootPath = Annotated[str, AfterValidator(_root_path)]


class ApiSettings(Group):
    """The HTTP API, and how long clients wait for an answer."""

    host: str = "127.0.0.1"
    """Address or name to listen on; "::" means all addresses, IPv4 and IPv6."""
    port: Port = 8000
    """Port to listen on."""
    address_file: Path | None = None
    """File for the API's URL and its instance id while it listens; unset: none."""
    answer_timeout: PositiveSeconds = 10.0
    """Seconds to wait for the pipeline's answer to an upload."""
    publish_timeout: PositiveSeconds = 10.0
    """Seconds that the broker may take to acknowledge an upload."""
    auth: bool = True
    """Require API keys; turn this off only where no other machine can connect."""
    requests_per_minute: Count = 600
    """Maximum requests per minute of each API key; without Redis, in each process."""
    wrong_keys_per_minute: Count = 60
    """Maximum wrong keys per minute from one address; further ones are not answered as wrong."""
    max_photos: Count = 10
    """Maximum number of photos in one enrolment."""
    max_photo_bytes: Count = 16 * 1024 * 1024
    """Maximum size of a photo in bytes; a larger one is refused while it is read."""
    max_request_bytes: Count = 64 * 1024 * 1024
    """Maximum size of an enrolment in bytes, for all its photos together."""
    max_upload_memory: Count = 256 * 1024 * 1024
    """Bytes of photos that one process receives at the same time; further requests wait."""
    upload_timeout: PositiveSeconds = 60.0
    """Seconds that a request's photos may take to arrive."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the API from a browser; a JSON list."""
    root_path: RootPath = ""
    """Path below which a reverse proxy serves the API and the console, such as /face."""
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    """Addresses and networks of proxies whose X-Forwarded-Prefix, -Proto and -Host count; JSON."""
    stream_clients: Count = 100
    """Maximum number of open streams of matches and visits in one process."""
    stream_clients_per_key: Count = 50
    """Maximum number of those that one API key may have."""
    stream_buffer: Count = 256
    """Maximum number of matches or visits kept for a slow listener."""
    stream_heartbeat: PositiveSeconds = 15.0
    """Seconds without an event after which a stream sends a heartbeat."""
    check_timeout: PositiveSeconds = 2.0
    """Seconds that each server may take to answer /health."""
    max_lag: PositiveSeconds = 60.0
    """Seconds of consumer lag above which /health says degraded."""
    stop_timeout: PositiveSeconds = 15.0
    """Seconds in which a stopping process may finish its requests."""
