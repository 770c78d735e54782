"""Certificates made for one test session: an authority, servers, a client, and impostors."""

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

KEY_PASSWORD = "opens-the-key"  # noqa: S105 - of a key that lives as long as the session


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM files."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Certificates:
    """What servers show and clients trust.

    `server` is made out to ``localhost`` alone: at 127.0.0.1 it is another host's.
    """

    directory: Path
    ca: Path
    other_ca: Path
    server: Pair
    client: Pair
    locked_client: Pair
    stranger: Pair


def make_certificates(directory: Path) -> Certificates:
    ca, other = trustme.CA(), trustme.CA()
    for name, authority in (("ca", ca), ("other-ca", other)):
        authority.cert_pem.write_to_path(str(directory / f"{name}.pem"))
    return Certificates(
        directory=directory,
        ca=directory / "ca.pem",
        other_ca=directory / "other-ca.pem",
        server=_write(directory, "server", ca.issue_cert("localhost")),
        client=_write(directory, "client", ca.issue_cert("fecapass@example.com")),
        locked_client=_write(
            directory, "locked-client", ca.issue_cert("fecapass@example.com"), KEY_PASSWORD
        ),
        stranger=_write(directory, "stranger", other.issue_cert("fecapass@example.com")),
    )


def _write(
    directory: Path, name: str, issued: trustme.LeafCert, password: str | None = None
) -> Pair:
    pair = Pair(directory / f"{name}.pem", directory / f"{name}.key")
    pair.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    # PKCS 8, which is all that Kafka reads.
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password.encode())
            if password
            else serialization.NoEncryption(),
        )
    )
    for file in (pair.cert, pair.key):
        file.chmod(0o644)  # the containers' users read them too
    return pair
