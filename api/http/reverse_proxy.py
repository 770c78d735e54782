"""Behind a reverse proxy: the prefix of the service's paths, and the address that callers use.

A proxy may serve the service below a path, and remove that path before it forwards a request, or
keep it. Both work: the routes see paths without it, and the addresses in responses begin with it.
The path is a setting; a proxy that the settings trust may name it, with scheme and host. These
headers of all other clients are ignored.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.request_context import origin, prefix
from config.settings.api import is_prefix

#: Set in the scope of a request for the prefix itself, without its slash.
BARE: Final = "fecapass.bare"

_HOST = re.compile(r"([A-Za-z0-9]([A-Za-z0-9.\-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(:\d{1,5})?")

Networks = Sequence[IPv4Network | IPv6Network]


class Forwarding:
    """The ASGI layer around all others: takes the prefix away, and remembers it for addresses."""

    def __init__(self, app: ASGIApp, *, root_path: str = "", trusted: Networks = ()) -> None:
        """Wrap an app.

        Args:
            app: what answers.
            root_path: the prefix where no proxy names one; empty for none.
            trusted: peers whose headers count.
        """
        self._app = app
        self._root_path = root_path
        self._trusted = tuple(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        root, seen_at = self._root_path, ""
        if self._trusts(scope.get("client")):
            headers = Headers(scope=scope)
            root = forwarded_prefix(headers, root)
            scope = {**scope, "scheme": _forwarded_scheme(headers, scope["scheme"])}
            seen_at = _origin(headers, scope["scheme"])
        tokens = prefix.set(root), origin.set(seen_at)
        try:
            await self._app(without_prefix(scope, root), receive, send)
        finally:
            prefix.reset(tokens[0])
            origin.reset(tokens[1])

    def _trusts(self, client: tuple[str, int] | None) -> bool:
        if client is None or not self._trusted:
            return False
        try:
            address = ip_address(client[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._trusted)


def forwarded_prefix(headers: Headers, default: str) -> str:
    """The prefix that a proxy names; the default where it names none, several, or no prefix.

    Args:
        headers: of a request from a trusted proxy.
        default: of the settings.
    """
    named = _only(headers, "x-forwarded-prefix")
    if named is None:
        return default
    named = named.rstrip("/")
    return named if not named or is_prefix(named) else default


def _forwarded_scheme(headers: Headers, default: str) -> str:
    scheme = _only(headers, "x-forwarded-proto")
    return scheme if scheme in {"http", "https"} else default


def _origin(headers: Headers, scheme: str) -> str:
    """Scheme and host for addresses in responses.

    The header Host stays unchanged: when no key is needed, it decides which callers are allowed,
    and a proxy may forward an X-Forwarded-Host that a caller has set.
    """
    for host in (_only(headers, "x-forwarded-host"), _only(headers, "host")):
        if host is not None and _HOST.fullmatch(host):
            return f"{scheme}://{host}"
    return ""


def without_prefix(scope: Scope, root: str) -> Scope:
    """The request as if it had come without the prefix, which a proxy may have taken away.

    Args:
        scope: of an HTTP request.
        root: the prefix; empty for none.
    """
    path: str = scope["path"]
    if not root or not (path == root or path.startswith(f"{root}/")):
        return scope
    shortened = {**scope, "path": path.removeprefix(root) or "/", BARE: path == root}
    raw: bytes | None = scope.get("raw_path")
    if raw is not None:
        shortened["raw_path"] = raw.removeprefix(root.encode()) or b"/"
    return shortened


def _only(headers: Headers, name: str) -> str | None:
    """The value of a header that is there once; of several proxies' values none is right."""
    values = headers.getlist(name)
    if len(values) != 1 or "," in values[0]:
        return None
    return values[0].strip()
