"""``fecapass api``: the HTTP gateway and the console."""

from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.errors import CommandFailed

if TYPE_CHECKING:
    import socket

    from config.settings import ApiSettings


def api(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. Default: FECAPASS_API__HOST.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port to listen on. Default: FECAPASS_API__PORT."),
    ] = None,
) -> None:
    """Serve the HTTP API and the operator's console.

    Callers need an API key (`fecapass keys create`), unless FECAPASS_API__AUTH is false. SIGTERM
    or Ctrl-C finishes the requests in work.
    """
    import uvloop

    from api.server import Server
    from config.logging import configure_logging
    from config.settings import Settings, load_settings

    settings = load_settings(Settings)
    chosen = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = settings.model_copy(update={"api": settings.api.model_copy(update=chosen)})
    configure_logging(settings)
    with _listen(settings.api) as listening:
        typer.echo(f"console and API on {address_of(settings.api)}", err=True)
        if not settings.api.auth:
            typer.echo(_open_doors(settings.api), err=True)
        uvloop.run(Server(settings).serve([listening]))


def address_of(settings: "ApiSettings") -> str:
    """The URL that a browser on this machine opens."""
    everywhere = settings.host in {"0.0.0.0", "::", ""}  # noqa: S104 - recognised, not chosen
    host = "localhost" if everywhere or settings.host == "127.0.0.1" else settings.host
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _open_doors(settings: "ApiSettings") -> str:
    """What an operator should know who asks for no keys."""
    line = "no API keys are asked for: FECAPASS_API__AUTH is false"
    if settings.host == "localhost" or _is_loopback(settings.host):
        return line
    return f"warning: {line}, and whoever reaches {settings.host or 'this machine'} may do all"


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(settings: "ApiSettings") -> "socket.socket":
    """A bound socket; whose port is taken is told before anything is connected.

    Raises:
        CommandFailed: it cannot be bound.
    """
    import socket

    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise CommandFailed(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; "
            "choose another by --port or FECAPASS_API__PORT"
        ) from error
