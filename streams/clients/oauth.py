"""Tokens for SASL OAUTHBEARER, by OAuth 2's client credentials grant."""

import json
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic

import aiohttp
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import AuthenticationFailedError

from config.settings import KafkaSettings
from config.settings.tls import TlsFiles

#: Longest answer of an issuer that is read, in bytes; tokens have some thousand.
_MOST_BYTES = 256 * 1024

#: The share of its life for which a token is used again; the rest is for clocks that differ.
_USED_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    good_until: float


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """Asks the issuer for a token, and uses it for most of its life.

    Faust's consumer calls from the event loop of another thread, so nothing here belongs to a
    loop; two callers at once may get a token each, which does no harm.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        """Store the settings, which say OAUTHBEARER; no token is requested yet."""
        self._settings = settings
        self._token: _Token | None = None

    async def token(self) -> str:
        """A token that is still good for a while.

        Raises: AuthenticationFailedError: the issuer is unavailable, refuses, or answers something
        else; one line without the secret.
        """
        kept = self._token
        if kept is None or monotonic() >= kept.good_until:
            self._token = kept = await self._ask()
        return kept.value

    async def _ask(self) -> _Token:
        settings = self._settings
        scope = {"scope": settings.oauth_scope} if settings.oauth_scope else {}
        secret = settings.oauth_client_secret
        login = aiohttp.encode_basic_auth(
            settings.oauth_client_id or "", secret.get_secret_value() if secret else "", "utf-8"
        )
        asked = monotonic()
        try:
            tls = TlsFiles(ca_file=settings.oauth_ca_file).context()
            async with (
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=settings.request_timeout)
                ) as session,
                session.post(
                    settings.oauth_token_url or "",
                    data={"grant_type": "client_credentials", **scope},
                    headers={"Authorization": login, "Accept": "application/json"},
                    # A redirect would send the secret to another server.
                    allow_redirects=False,
                    ssl=tls,
                    proxy=settings.oauth_proxy,
                ) as answer,
            ):
                if answer.status != HTTPStatus.OK:
                    raise AuthenticationFailedError(
                        f"the issuer of tokens answers HTTP {answer.status}"
                    )
                body = await answer.content.read(_MOST_BYTES)
        except aiohttp.ClientHttpProxyError as error:
            raise AuthenticationFailedError(
                f"no token from the issuer: the proxy answers HTTP {error.status}"
            ) from None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            # What the client says holds the address, and that alone.
            line = " ".join(str(error).split()) or type(error).__name__
            raise AuthenticationFailedError(f"no token from the issuer: {line}") from None
        return _read(body, asked)


def _read(body: bytes, asked: float) -> _Token:
    """The token in an issuer's answer.

    Raises:
        AuthenticationFailedError: there is none.
    """
    try:
        answer = json.loads(body)
        value, seconds = answer["access_token"], float(answer.get("expires_in") or 0.0)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise AuthenticationFailedError("the issuer's answer holds no token") from None
    if not isinstance(value, str) or not value:
        raise AuthenticationFailedError("the issuer's answer holds no token")
    return _Token(value, asked + seconds * _USED_SHARE)
