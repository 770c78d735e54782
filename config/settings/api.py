"""The HTTP gateway."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, IPvAnyNetwork

from config.settings.base import Count, Group, Port, PositiveSeconds

_SEGMENTS = re.compile(r"(/[A-Za-z0-9._~\-]{1,64}){1,8}")

#: Where the service's own addresses lie. A prefix that is one of them, or the beginning or the
#: continuation of one, could not be told from what it stands before.
_OWN = ("/api/v1", "/console", "/health", "/metrics", "/openapi.json")


def is_prefix(text: str) -> bool:
    """Whether a text may stand before all addresses: such as ``/face``, harmless in any place."""
    if not _SEGMENTS.fullmatch(text) or {".", ".."} & set(text.split("/")):
        return False
    return not any(
        own == text or own.startswith(f"{text}/") or text.startswith(f"{own}/") for own in _OWN
    )


def _root_path(text: str) -> str:
    text = text.rstrip("/")
    if text and not is_prefix(text):
        raise ValueError(
            "wanted a path such as /face, of letters, digits and . _ ~ -, that is none of the "
            "service's own"
        )
    return text


RootPath = Annotated[str, AfterValidator(_root_path)]


class ApiSettings(Group):
    """The HTTP gateway, and how long callers wait for an answer."""

    host: str = "127.0.0.1"
    """Address or name to listen on; "::" is every address, IPv4 and IPv6."""
    port: Port = 8000
    """Port to listen on."""
    address_file: Path | None = None
    """File that takes the API's URL and its instance id while it listens; unset: none."""
    answer_timeout: PositiveSeconds = 10.0
    """Seconds to wait for the pipeline's answer to an upload."""
    publish_timeout: PositiveSeconds = 10.0
    """Seconds that the broker may take to acknowledge an upload."""
    auth: bool = True
    """Ask for API keys; off only where nobody else can connect."""
    requests_per_minute: Count = 600
    """Requests that each API key may make; without Redis, in each process."""
    max_photos: Count = 10
    """Most photos in one enrolment."""
    max_photo_bytes: Count = 16 * 1024 * 1024
    """Largest photo in bytes, refused while it is read."""
    max_request_bytes: Count = 64 * 1024 * 1024
    """Largest enrolment in bytes, all its photos together."""
    max_upload_memory: Count = 256 * 1024 * 1024
    """Bytes of photos that one process takes in at once; further requests wait for their turn."""
    upload_timeout: PositiveSeconds = 60.0
    """Seconds that a request's photos may take to arrive."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the API from a browser; a JSON list."""
    root_path: RootPath = ""
    """Path below which a reverse proxy serves the API and the console, such as /face."""
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    """Addresses and networks of proxies whose X-Forwarded-Prefix, -Proto and -Host count; JSON."""
    stream_clients: Count = 100
    """Most open streams of live matches in one process."""
    stream_buffer: Count = 256
    """Matches kept for a listener who is slow."""
    stream_heartbeat: PositiveSeconds = 15.0
    """Seconds of silence after which a stream says that it is still there."""
    check_timeout: PositiveSeconds = 2.0
    """Seconds that each server may take to answer /health."""
    max_lag: PositiveSeconds = 60.0
    """Seconds that the workers may be behind before /health says degraded."""
    stop_timeout: PositiveSeconds = 15.0
    """Seconds that requests in work may take when the process is told to stop."""
