"""HTTP proxies towards S3 and OAuth's issuer: one of ours, that of the environment, or none.

Libraries differ in whether they read ``http_proxy`` and its siblings. Images of faces go through a
proxy only where a setting says so, so clients are never left to decide.
"""

import ipaddress
import os
import re
from collections.abc import Iterator
from typing import Annotated, Final, TypeAlias
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from pydantic import AfterValidator, BeforeValidator, Secret
from pydantic_core import PydanticCustomError

#: The setting's value that takes the proxy variables of the environment.
FROM_ENVIRONMENT: Final = "environment"

#: The setting's value that overrides another one of lower precedence: no proxy.
NO_PROXY: Final = "none"

_WITHOUT_SCHEME = re.compile(r"(?![a-z][a-z0-9+.-]*://)", re.IGNORECASE)

_NO_PROXY_URL: Final = "proxy_url"


class ProxyUrl(Secret[str]):
    """A proxy's URL, or ``environment``; shown without its user and password."""

    @property
    def from_environment(self) -> bool:
        """Whether the proxy variables of the environment decide."""
        return self.get_secret_value() == FROM_ENVIRONMENT

    def towards(self, url: str) -> str | None:
        """The proxy for requests to a URL, with its user and password: never log it.

        The environment's proxy is not used for loopback, nor for what ``no_proxy`` names.

        Args:
            url: http or https, where the request goes.

        Returns:
            The proxy's URL; None for none.

        Raises:
            ValueError: the environment's proxy is no http or https URL.
        """
        if not self.from_environment:
            return self.get_secret_value()
        return _environment_proxy(url)

    def secrets(self) -> Iterator[str]:
        """What must not be shown: the user and password of each proxy that may be used."""
        named = getproxies().values() if self.from_environment else [self.get_secret_value()]
        for url in named:
            yield from _user_info(url)

    def _display(self) -> str:
        return without_user(self.get_secret_value())


def _checked(proxy: ProxyUrl | None) -> ProxyUrl | None:
    if proxy is not None and not proxy.from_environment and not _usable(proxy.get_secret_value()):
        # Without the value: it may hold a password.
        raise PydanticCustomError(
            _NO_PROXY_URL, "it is not the URL of a proxy, such as http://proxy.example.com:3128"
        )
    return proxy


def _none_is_none(value: object) -> object:
    return None if value == NO_PROXY else value


#: A setting: an http or https URL, ``environment``, or ``none``.
ProxySetting: TypeAlias = Annotated[
    ProxyUrl | None, BeforeValidator(_none_is_none), AfterValidator(_checked)
]


def proxy_towards(setting: ProxyUrl | None, url: str) -> str | None:
    """The proxy that a setting gives for requests to a URL; None for none.

    Raises:
        ValueError: see `ProxyUrl.towards`.
    """
    return None if setting is None else setting.towards(url)


def without_user(url: str) -> str:
    """A proxy's URL without user and password, fit for logs and error messages."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def proxy_variables() -> list[str]:
    """Names of the proxy variables that the environment sets, in the order of the alphabet."""
    names = {f"{scheme}_proxy" for scheme in ("http", "https", "all")}
    return sorted(name for name, value in os.environ.items() if value and name.lower() in names)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _environment_proxy(url: str) -> str | None:
    target = urlsplit(url)
    host = target.hostname or ""
    location = f"{host}:{target.port}" if target.port else host
    if is_loopback(host) or proxy_bypass(location) or _in_excluded_network(host):
        return None
    variables = getproxies()
    proxy = variables.get(target.scheme) or variables.get("all")
    if not proxy:
        return None
    if _WITHOUT_SCHEME.match(proxy):
        proxy = f"http://{proxy}"
    if not _usable(proxy):
        raise ValueError("the environment's proxy is no http or https URL")
    return proxy


def _in_excluded_network(host: str) -> bool:
    """Whether ``no_proxy`` has a network with this address; Python itself looks for none."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in getproxies().get("no", "").split(","):
        try:
            if "/" in entry and address in ipaddress.ip_network(entry.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False


def _usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(
            parts.scheme in {"http", "https"}
            and parts.hostname
            and parts.port != 0
            and parts.path in {"", "/"}
            and not (parts.query or parts.fragment)
        )
    except ValueError:
        return False


def _user_info(url: str) -> Iterator[str]:
    """The secret parts of a URL, as written there and decoded."""
    info = url.rpartition("@")[0].rpartition("//")[2]
    if not info:
        return
    user, colon, password = info.partition(":")
    secret = password if colon else user  # a token may be in the place of the user
    yield from {info, unquote(info), secret, unquote(secret)}
