"""The HTTP API and console of the demonstration: on loopback, without keys."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from config.settings import ApiSettings
from infra.demo.workers import ListeningProcess

#: Both of its addresses: a browser takes whichever answers first.
_HOST = "localhost"


class Gateway(ListeningProcess):
    """``fecapass api``, on its usual port or, where that is taken, on another one."""

    def __init__(
        self, environment: Mapping[str, str], logs: Path, usual: int | None = None
    ) -> None:
        """Start it.

        Args:
            environment: FECAPASS_* variables beside those of this process.
            logs: folder that takes its log.
            usual: the port to take if it is free, 0 for any; by default that of the settings.
        """
        self._usual = int(ApiSettings.model_fields["port"].default) if usual is None else usual
        super().__init__(
            ("api", "--host", _HOST, "--port", str(self._usual), "--any-port"),
            {"FECAPASS_API__AUTH": "false", **environment},
            logs / "api.log",
            group="API",
            health="/health/live",
        )

    @property
    def moved(self) -> bool:
        """Whether the usual port was taken.

        Raises:
            DemoError: it does not listen yet.
        """
        return self._usual not in {0, urlsplit(self.address).port}
