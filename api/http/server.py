"""Runs the application under uvicorn until SIGTERM or SIGINT, then ends it in order."""

import logging
import socket
from types import FrameType

import uvicorn

from api.http.app import create_app
from config.settings import Settings

logger = logging.getLogger(__name__)

#: How long an idle connection is kept, in seconds: longer than common balancers do (60), so that
#: it is not us who close one on which a request is just coming.
_KEEP_ALIVE = 75


class Server(uvicorn.Server):
    """One process, one event loop; requests in work are finished before it ends."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; `serve` runs it.

        Args:
            settings: of the process.
        """
        self._app = create_app(settings)
        #: Its answers about health carry this id.
        self.instance: str = self._app.state.instance
        super().__init__(
            uvicorn.Config(
                self._app,
                host=settings.api.host,
                port=settings.api.port,
                log_config=None,
                log_level=logging.WARNING,
                access_log=False,
                server_header=False,
                # Its own trusts loopback, and whatever FORWARDED_ALLOW_IPS says; ours asks the
                # settings (api.http.reverse_proxy).
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=int(settings.api.stop_timeout),
                lifespan="on",
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's
        """End in order at the first signal, at once at the second.

        Uvicorn's own would raise the signal again in the end, which makes an ordinary stop look
        like a crash.
        """
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is in work. Open streams would never end by themselves."""
        self._app.state.services.end_streams()
        await super().shutdown(sockets)
