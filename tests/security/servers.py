"""Real servers with TLS on: embedded where the binary can, in containers where it cannot."""

import os
from dataclasses import replace
from pathlib import Path

from infra.embedded.embedded_server import Command
from infra.embedded.seaweedfs import SeaweedFs
from infra.processes.guard_process import RUN_VARIABLE
from tests.containers import KAFKA_IMAGE, PGVECTOR_IMAGE, REDIS_IMAGE, Server
from tests.security.certificates import Certificates

USER = "fecapass"
#: A database that only a client with a certificate may enter.
GUARDED = "guarded"


def postgres(certificates: Certificates, password: str) -> Server:
    """PostgreSQL with pgvector: TLS only, one database for holders of a certificate only."""
    rules = (
        "local all all trust",
        f"hostssl {GUARDED} all all scram-sha-256 clientcert=verify-ca",
        "hostssl all all all scram-sha-256",
    )
    home = "/tmp/tls"  # noqa: S108 - inside a container of our own
    options = {
        "ssl": "on",
        "ssl_cert_file": f"{home}/server.pem",
        "ssl_key_file": f"{home}/server.key",
        "ssl_ca_file": f"{home}/ca.pem",
        "hba_file": f"{home}/hba.conf",
    }
    script = (
        f"mkdir {home} && cp /certificates/* {home} && printf '%s\\n' \"$@\" > {home}/hba.conf"
        f" && chmod 0600 {home}/server.key && chown -R postgres {home}"
        " && exec docker-entrypoint.sh postgres"
        + "".join(f" -c {name}={value}" for name, value in options.items())
    )
    server = Server(PGVECTOR_IMAGE, 5432, f"pg_isready -h 127.0.0.1 -U {USER}")
    server.container.with_envs(POSTGRES_USER=USER, POSTGRES_PASSWORD=password, POSTGRES_DB=GUARDED)
    server.container.with_volume_mapping(certificates.directory, "/certificates")
    server.container.with_kwargs(entrypoint=["bash", "-c", script, "postgres", *rules])
    return server


class TlsSeaweedFs(SeaweedFs):
    """The embedded S3 server, over https alone."""

    def __init__(self, directory: Path, log: Path, ports, secrets, certificates) -> None:
        super().__init__(directory, log, ports, secrets)
        self._certificates = certificates

    @property
    def endpoint_url(self) -> str:
        return f"https://localhost:{self.port}"

    def command(self) -> Command:
        plain = super().command()
        pair = self._certificates.server
        options = [f"-s3.cert.file={pair.cert}", f"-s3.key.file={pair.key}"]
        # No stack's guard knows it: it ends with the run of tests.
        run = ((RUN_VARIABLE, os.environ[RUN_VARIABLE]),)
        return replace(plain, arguments=[*plain.arguments, *options], environment=run)

    def check(self) -> None:
        """The gateway's own check speaks http; a test's first call is patient instead."""
        self._check_volumes()


def redis(certificates: Certificates, *, clients: str, users: dict[str, str]) -> Server:
    """Redis over TLS alone; `clients` says whether they must show a certificate (yes, no)."""
    inside = "/certificates"
    arguments = [
        "redis-server", "--port", "0", "--tls-port", "6379",
        "--tls-cert-file", f"{inside}/server.pem",
        "--tls-key-file", f"{inside}/server.key",
        "--tls-ca-cert-file", f"{inside}/ca.pem",
        "--tls-auth-clients", clients,
        "--user", "default", "off",
    ]  # fmt: skip
    for name, password in users.items():
        arguments += ["--user", name, "on", f">{password}", "~*", "&*", "+@all"]
    server = Server(REDIS_IMAGE, 6379, "exec 3<>/dev/tcp/127.0.0.1/6379")
    server.container.with_volume_mapping(certificates.directory, inside)
    server.container.with_command(arguments)
    return server


#: Kafka's listeners, as clients name their protocols.
LISTENERS = {
    "TLS": "SSL",
    "MUTUAL": "SSL",
    "LOGIN": "SASL_SSL",
    "CLEAR": "SASL_PLAINTEXT",
}


class TlsKafka:
    """One Apache Kafka broker with a listener for each way in."""

    def __init__(self, certificates: Certificates, user: str, password: str) -> None:
        self._user, self._password = user, password
        self._server = Server(KAFKA_IMAGE, 9092, "exec 3<>/dev/tcp/127.0.0.1/9092")
        self.ports = {name: self._server.ports.take() for name in LISTENERS}
        container = self._server.container
        for port in self.ports.values():
            container.with_bind_ports(port, port)
        container.with_envs(**self._configuration(certificates))

    def start(self) -> None:
        self._server.start()
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):  # one at a time is the broker's rule
            self._inside(
                "/opt/kafka/bin/kafka-configs.sh", "--bootstrap-server", "localhost:9092",
                "--alter", "--add-config", f"{mechanism}=[password={self._password}]",
                "--entity-type", "users", "--entity-name", self._user,
            )  # fmt: skip

    def remove(self) -> None:
        self._server.remove()

    def address(self, listener: str) -> str:
        return f"localhost:{self.ports[listener]}"

    def _inside(self, *command: str) -> None:
        done = self._server.container.get_wrapped_container().exec_run(list(command))
        assert done.exit_code == 0, done.output.decode(errors="replace")

    def _configuration(self, certificates: Certificates) -> dict[str, str]:
        protocols = {"INTERNAL": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **LISTENERS}
        listeners = {"INTERNAL": 9092, "CONTROLLER": 9093, **self.ports}
        advertised = {"INTERNAL": "localhost:9092"} | {n: self.address(n) for n in LISTENERS}
        values = {
            "NODE_ID": "1",
            "PROCESS_ROLES": "broker,controller",
            "LISTENERS": ",".join(f"{name}://:{port}" for name, port in listeners.items()),
            "ADVERTISED_LISTENERS": ",".join(f"{n}://{at}" for n, at in advertised.items()),
            "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "INTER_BROKER_LISTENER_NAME": "INTERNAL",
            "LISTENER_SECURITY_PROTOCOL_MAP": ",".join(f"{n}:{p}" for n, p in protocols.items()),
            "CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
            "OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "OFFSETS_TOPIC_NUM_PARTITIONS": "2",
            "TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
            "TRANSACTION_STATE_LOG_MIN_ISR": "1",
            "GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
            "HEAP_OPTS": "-Xms256m -Xmx256m",
            # A PEM may stand on one line: whatever is blank parts its words.
            "SSL_KEYSTORE_TYPE": "PEM",
            "SSL_KEYSTORE_CERTIFICATE_CHAIN": _one_line(certificates.server.cert),
            "SSL_KEYSTORE_KEY": _one_line(certificates.server.key),
            "SSL_TRUSTSTORE_TYPE": "PEM",
            "SSL_TRUSTSTORE_CERTIFICATES": _one_line(certificates.ca),
            "LISTENER_NAME_MUTUAL_SSL_CLIENT_AUTH": "required",
        }
        for listener in ("LOGIN", "CLEAR"):
            name = f"LISTENER_NAME_{listener}"
            values[f"{name}_SASL_ENABLED_MECHANISMS"] = (
                "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"
            )
            values[f"{name}_PLAIN_SASL_JAAS_CONFIG"] = (
                "org.apache.kafka.common.security.plain.PlainLoginModule required "
                f'user_{self._user}="{self._password}";'
            )
            for bits in ("256", "512"):
                values[f"{name}_SCRAM___SHA___{bits}_SASL_JAAS_CONFIG"] = (
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                )
            # Believes tokens without a signature, as the default validator does.
            values[f"{name}_OAUTHBEARER_SASL_JAAS_CONFIG"] = (
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
                'unsecuredLoginStringClaim_sub="broker";'
            )
        return {f"KAFKA_{name}": value for name, value in values.items()}


def _one_line(file: Path) -> str:
    return " ".join(file.read_text().split("\n")).strip()
