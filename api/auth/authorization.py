"""Who may do what: API keys with scopes, and a limit on each key's requests."""

from collections.abc import Awaitable, Callable
from ipaddress import ip_address, ip_network
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from api.http.dependencies import ServicesDep
from api.http.problems import ApiProblem
from api.http.request_context import rate_headers
from config.observability import metrics
from services.api_keys import ANONYMOUS, Caller, Scope

_IPV4 = 4
#: Of an IPv6 address, the bits that are its client's network (RFC 4291, 2.5.1).
_IPV6_CLIENT = 64

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_bearer = HTTPBearer(auto_error=False, description="an API key: `fecapass keys create`")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="an API key")


async def authenticate(
    request: Request,
    services: ServicesDep,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    header: Annotated[str | None, Security(_header)],
) -> Caller:
    """Find out who calls, and count the call.

    Raises:
        ApiProblem: ``key_missing``, ``key_invalid``, ``too_many_requests`` or ``cross_site``.
    """
    if not services.settings.api.auth:
        _keep_other_sites_out(request)
        return ANONYMOUS
    key = bearer.credentials if bearer is not None else header
    if key is None:
        raise _unknown("key_missing", "this needs an API key: Authorization: Bearer fp_...")
    caller = await services.keyring.find(key)
    if caller is None:
        # A key that is right is let in from any address: others behind a proxy have the same one.
        problem = _unknown("key_invalid", "the API key is unknown or revoked")
        await services.wrong_keys.count(_network(request))
        raise problem
    left = await services.limit.count(caller.id or "")
    rate_headers.set(services.limit.headers(left))
    return caller


CallerDep = Annotated[Caller, Depends(authenticate)]


def require(*scopes: Scope) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency that returns the caller if the key has one of these scopes."""

    async def allowed(caller: CallerDep) -> Caller:
        require_scope(caller, *scopes)
        return caller

    return allowed


def require_scope(caller: Caller, *scopes: Scope) -> None:
    """Refuse a caller whose key has none of these scopes.

    Raises:
        ApiProblem: ``scope_missing``.
    """
    if not caller.may(*scopes):
        metrics.HTTP_REFUSED.labels(reason="scope").inc()
        raise ApiProblem(
            403, "scope_missing", f"this needs an API key with the scope {' or '.join(scopes)}"
        )


Reader = Annotated[Caller, Depends(require("read"))]
Enroller = Annotated[Caller, Depends(require("enrol"))]
Searcher = Annotated[Caller, Depends(require("search"))]
Administrator = Annotated[Caller, Depends(require("admin"))]
Uploader = Annotated[Caller, Depends(require("read", "enrol", "search"))]


def _network(request: Request) -> str:
    """Where a request comes from: an address; of IPv6 the network that a client may choose from."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return f"address {host}"
    length = address.max_prefixlen if address.version == _IPV4 else _IPV6_CLIENT
    return f"address {ip_network((address.packed, length), strict=False)}"


def _unknown(code: str, detail: str) -> ApiProblem:
    metrics.HTTP_REFUSED.labels(reason="key").inc()
    return ApiProblem(401, code, detail, headers={"WWW-Authenticate": "Bearer"})


def _keep_other_sites_out(request: Request) -> None:
    """When no key is needed, other sites' pages must not use their visitor's browser.

    A name that is not this machine's would be DNS rebinding; a foreign origin, request forgery.

    Raises:
        ApiProblem: ``cross_site``.
    """
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "none")
    foreign = origin is not None and urlsplit(origin).netloc != host
    changes = request.method not in _SAFE_METHODS
    if not _is_plain(host) or (changes and (foreign or site in {"cross-site", "same-site"})):
        metrics.HTTP_REFUSED.labels(reason="cross_site").inc()
        raise ApiProblem(403, "cross_site", "without API keys, only pages of this server may call")


def _is_plain(host: str) -> bool:
    """Whether a Host header names an address or localhost, which DNS rebinding cannot change."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
