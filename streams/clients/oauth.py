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

#: Maximum number of bytes that are read of an issuer's answer; a token has a few thousand.
_MOST_BYTES = 256 * 1024

#: A token is used for this share of its lifetime; the rest allows for clocks that differ.
_USED_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    use_until: float


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """Asks the issuer for a token, and uses it for most of its life.

    Faust's consumer calls this from the event loop of another thread, so this class holds no object
    of an event loop. Two calls at the same time may request two tokens, which does no harm.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        """Keep the settings, whose mechanism is OAUTHBEARER; no token is requested yet."""
        self._settings = settings
        self._token: _Token | None = None

    async def token(self) -> str:
        """A token that remains valid for some time.

        Raises:
            AuthenticationFailedError: the issuer is unavailable, refuses the request, or gives an
                unknown answer; the message is one line without the secret.
        """
        token = self._token
        if token is None or monotonic() >= token.use_until:
            self._token = token = await self._ask()
        return token.value

    async def _ask(self) -> _Token:
        settings = self._settings
        scope = {"scope": settings.oauth_scope} if settings.oauth_scope else {}
        secret = settings.oauth_client_secret
        login = aiohttp.encode_basic_auth(
            settings.oauth_client_id or "", secret.get_secret_value() if secret else "", "utf-8"
        )
        asked_at = monotonic()
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
            # The client's text contains the address, but no secret.
            line = " ".join(str(error).split()) or type(error).__name__
            raise AuthenticationFailedError(f"no token from the issuer: {line}") from None
        return _read(body, asked_at)


def _read(body: bytes, asked_at: float) -> _Token:
    """The token in an issuer's answer.

    Raises:
        AuthenticationFailedError: it contains none.
    """
    try:
        answer = json.loads(body)
        value, seconds = answer["access_token"], float(answer.get("expires_in") or 0.0)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise AuthenticationFailedError("the issuer's answer contains no token") from None
    if not isinstance(value, str) or not value:
        raise AuthenticationFailedError("the issuer's answer contains no token")
    return _Token(value, asked_at + seconds * _USED_SHARE)
