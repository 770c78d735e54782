"""TLS and SASL arguments of the Kafka clients (aiokafka and Faust), from the settings."""

from typing import Any

import faust
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from faust.types.auth import CredentialsT

from config.settings import KafkaSettings
from streams.clients.oauth import TokenProvider

#: `connection_problem` waits at most this long for one broker, in seconds.
_PATIENCE = 10.0


def client_security(settings: KafkaSettings) -> dict[str, Any]:
    """The arguments of aiokafka's clients.

    Raises:
        OSError: a file of the TLS settings no longer exists.
    """
    arguments: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if settings.encrypted:
        arguments["ssl_context"] = settings.tls.context(check_hostname=settings.tls.check_hostname)
    if settings.sasl_mechanism is None:
        return arguments
    arguments["sasl_mechanism"] = settings.sasl_mechanism
    if settings.sasl_mechanism == "OAUTHBEARER":
        arguments["sasl_oauth_token_provider"] = TokenProvider(settings)
    else:
        arguments["sasl_plain_username"] = settings.sasl_username
        arguments["sasl_plain_password"] = _password(settings)
    return arguments


def faust_credentials(settings: KafkaSettings) -> CredentialsT | None:
    """The same for a Faust app; None without TLS and SASL.

    Raises:
        OSError: a file of the TLS settings no longer exists.
    """
    security = client_security(settings)
    tls = security.get("ssl_context")
    if settings.sasl_mechanism == "OAUTHBEARER":
        return faust.OAuthCredentials(
            oauth_cb=security["sasl_oauth_token_provider"], ssl_context=tls
        )
    if settings.sasl_mechanism is not None:
        return faust.SASLCredentials(
            mechanism=settings.sasl_mechanism,
            username=settings.sasl_username,
            password=_password(settings),
            ssl_context=tls,
        )
    return None if tls is None else faust.SSLCredentials(tls)


async def connection_problem(settings: KafkaSettings) -> str:
    """Why a client cannot connect to the brokers, as one line without secrets.

    The clients only log this reason; the error that they raise does not contain it.
    """
    problem = "no answer"
    for server in settings.bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            connection = await create_conn(
                host.strip("[]"),
                int(port),
                client_id="fecapass-why-not",
                request_timeout_ms=int(min(settings.request_timeout, _PATIENCE) * 1000),
                **client_security(settings),
            )
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            problem = " ".join(str(error).split()) or type(error).__name__
        else:
            connection.close()
    return problem


def _password(settings: KafkaSettings) -> str | None:
    return settings.sasl_password.get_secret_value() if settings.sasl_password else None
