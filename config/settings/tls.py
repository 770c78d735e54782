"""TLS towards a server: the files that the settings name, and the context made of them."""

import ssl
from pathlib import Path
from typing import Literal, Self

from pydantic import SecretStr, model_validator

from config.settings.base import Group, inconsistent


class TlsFiles(Group):
    """What is trusted, and how we prove who we are; PEM files."""

    ca_file: Path | None = None
    """PEM file of the authorities to trust; unset: the public ones."""
    cert_file: Path | None = None
    """PEM file of our certificate, for a server that requires one."""
    key_file: Path | None = None
    """PEM file of that certificate's key."""

    def given(self) -> list[str]:
        """Names of the fields that are not as they are by default."""
        return [name for name in type(self).model_fields if getattr(self, name) != self._of(name)]

    def context(self, *, verify: bool = True, check_hostname: bool = True) -> ssl.SSLContext:
        """A client's context, with the files as they are now.

        Args:
            verify: refuse a server that no trusted authority vouches for.
            check_hostname: refuse a certificate that was made out to another host.

        Raises:
            OSError: a file is not there, or is not what it should be; an `ssl.SSLError` is one.
        """
        context = ssl.create_default_context(cafile=self.ca_file)
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif not check_hostname:
            context.check_hostname = False
        if self.cert_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file, self._password)
        return context

    @model_validator(mode="after")
    def _files_fit(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise inconsistent("{cert_file} and {key_file} belong together")
        if self.ca_file is not None:
            try:
                ssl.create_default_context(cafile=self.ca_file)
            except OSError as error:
                raise inconsistent(
                    f"{{ca_file}} is not a readable PEM file: {_said(error)}"
                ) from None
        if self.cert_file is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
                    self.cert_file, self.key_file, self._password
                )
            except OSError as error:
                raise inconsistent(
                    f"{{cert_file}} and {{key_file}} cannot be used: {_said(error)}"
                ) from None
        return self

    def _password(self) -> str:
        """The key's password; without one OpenSSL would ask at the terminal."""
        return ""

    def _of(self, name: str) -> object:
        return type(self).model_fields[name].default


class TlsSettings(TlsFiles):
    """The same, where the key may be encrypted."""

    key_password: SecretStr | None = None
    """Password of the key, if it is encrypted."""

    @model_validator(mode="after")
    def _password_has_a_key(self) -> Self:
        if self.key_password is not None and self.key_file is None:
            raise inconsistent("{key_password} is set without {key_file}")
        return self

    def _password(self) -> str:
        return self.key_password.get_secret_value() if self.key_password else ""


class KafkaTls(TlsSettings):
    """TLS towards the brokers."""

    check_hostname: bool = True
    """Refuse a certificate that was issued for another host."""


class RedisTls(TlsSettings):
    """TLS towards Redis."""

    enabled: bool = False
    """Use TLS."""
    check_hostname: bool = True
    """Refuse a certificate that was issued for another host."""

    @model_validator(mode="after")
    def _on_if_told_how(self) -> Self:
        if not self.enabled and (given := self.given()):
            raise inconsistent(f"{{{given[0]}}} is set, but {{enabled}} is not")
        return self


class DatabaseTls(TlsSettings):
    """TLS to PostgreSQL, with the values of its own ``sslmode``."""

    mode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    """disable, prefer, require, verify-ca or verify-full; only verify-full checks the server."""

    def argument(self) -> Literal["disable", "prefer"] | ssl.SSLContext:
        """The ``ssl`` argument of asyncpg.

        Raises:
            OSError: see `context`.
        """
        if self.mode == "disable" or self.mode == "prefer":  # noqa: PLR1714 - narrows the type
            return self.mode
        return self.context(
            verify=self.mode != "require", check_hostname=self.mode == "verify-full"
        )

    @model_validator(mode="after")
    def _mode_uses_what_is_given(self) -> Self:
        if self.ca_file is not None and not self.mode.startswith("verify"):
            raise inconsistent("{ca_file} is used only if {mode} is verify-ca or verify-full")
        if self.cert_file is not None and self.mode in {"disable", "prefer"}:
            raise inconsistent("{cert_file} is used only if {mode} is require or stricter")
        return self


def _said(error: OSError) -> str:
    """What is wrong with a file, without its path."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is not PEM, or the password is wrong").lower().replace("_", " ")
    return error.strerror or type(error).__name__
