"""``fecapass api``: the HTTP API and the console."""

from typing import TYPE_CHECKING, Annotated

import typer

from infra.terminal.command_errors import CommandFailed

if TYPE_CHECKING:
    import socket

    from config.settings import ApiSettings


def api(
    *,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address or name to listen on; :: means all addresses. "
            "Default: FECAPASS_API__HOST."
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port to listen on; 0 chooses a free one. Default: FECAPASS_API__PORT.",
        ),
    ] = None,
    any_port: Annotated[
        bool, typer.Option("--any-port", help="If the port is in use, choose a free one.")
    ] = False,
) -> None:
    """Serve the HTTP API and the operator's console.

    Clients need an API key (`fecapass keys create`), unless FECAPASS_API__AUTH is false. On SIGTERM
    or Ctrl-C the server finishes its requests and stops.
    """
    import uvloop

    from api.http.server import Server
    from config.network.listening import port_of, url_of, withdraw
    from config.observability.logging import configure_logging
    from config.settings import Settings, load_settings

    settings = load_settings(Settings)
    chosen = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = settings.model_copy(update={"api": settings.api.model_copy(update=chosen)})
    configure_logging(settings)
    listening = _listen(settings.api, any_port=any_port)
    server = Server(settings)
    # What a browser on this machine opens.
    host_name = "localhost" if settings.api.host == "127.0.0.1" else settings.api.host
    url = url_of(host_name, port_of(listening))
    _announce(settings.api, url, server.instance)
    try:
        typer.echo(f"console and API on {url}", err=True)
        if not settings.api.auth:
            typer.echo(_no_keys_notice(settings.api), err=True)
        uvloop.run(server.serve(listening))
    finally:
        withdraw(settings.api.address_file)
        for each in listening:
            each.close()


def _no_keys_notice(settings: "ApiSettings") -> str:
    """The notice for an operator who runs the API without keys."""
    line = "API keys are not required: FECAPASS_API__AUTH is false"
    if settings.host == "localhost" or _is_loopback(settings.host):
        return line
    place = settings.host or "this machine"
    return f"warning: {line}; any client that reaches {place} has full access"


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(settings: "ApiSettings", *, any_port: bool) -> "list[socket.socket]":
    """Bound sockets; a port in use is reported before any connection is made.

    Raises:
        CommandFailed: they cannot be bound.
    """
    from config.network.listening import listen

    try:
        return listen(settings.host, settings.port, any_port=any_port)
    except OSError as error:
        raise CommandFailed(
            f"cannot listen on {settings.host or 'all addresses'} port {settings.port}: "
            f"{error.strerror}; choose another by --port or FECAPASS_API__PORT"
        ) from error


def _announce(settings: "ApiSettings", url: str, instance: str) -> None:
    from config.network.listening import announce

    try:
        announce(settings.address_file, url, instance)
    except OSError as error:
        raise CommandFailed(f"cannot write {settings.address_file}: {error.strerror}") from error
