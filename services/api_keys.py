"""API keys: made, found, revoked. Of the secret only the SHA-256 is kept.

A slow password hash would protect secrets that people choose. These have 256 random bits, which
cannot be guessed from any hash, and every request has to check one.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.audit import record
from sinks.main.schema import ApiKey

Scope = Literal["read", "enrol", "search", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_KEY = re.compile(r"fp_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NOBODYS_HASH = bytes(32)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request.

    Attributes:
        id: the key's public part; None when no keys are needed.
        name: what the key was named.
        scopes: what the key allows; ``admin`` includes all.
    """

    id: str | None
    name: str
    scopes: frozenset[str]

    def may(self, *scopes: Scope) -> bool:
        """Whether the key has one of these scopes."""
        return "admin" in self.scopes or not self.scopes.isdisjoint(scopes)

    @property
    def actor(self) -> str:
        """How the audit trail names the caller."""
        return f"key:{self.id}" if self.id else "anonymous"


#: Every client that can connect, when no keys are needed.
ANONYMOUS = Caller(None, "anybody", frozenset({"admin"}))


async def create_key(
    session: AsyncSession, name: str, scopes: Sequence[str], actor: str
) -> tuple[ApiKey, str]:
    """Make a key and write it down in the audit trail; the caller commits.

    Args:
        session: on the main database.
        name: for people.
        scopes: what it is good for, out of `SCOPES`.
        actor: who makes it.

    Returns:
        Its row, and the key itself, which is nowhere else from now on.
    """
    public, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    row = ApiKey(id=public, name=name, secret_hash=_hash(secret), scopes=list(scopes))
    session.add(row)
    record(session, actor, "key.create", f"key:{public}", scopes=list(scopes))
    await session.flush()
    await session.refresh(row)
    return row, f"fp_{public}_{secret}"


async def list_keys(session: AsyncSession) -> Sequence[ApiKey]:
    """All keys, revoked ones too, oldest first."""
    return (await session.scalars(select(ApiKey).order_by(ApiKey.created_at, ApiKey.id))).all()


async def revoke_key(session: AsyncSession, public: str, actor: str) -> bool:
    """Revoke a key; the caller commits. Returns whether there was one that was not revoked."""
    revoked = await session.scalar(
        update(ApiKey)
        .where(ApiKey.id == public, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(ApiKey.id)
    )
    if revoked is None:
        return False
    record(session, actor, "key.revoke", f"key:{public}")
    return True


async def find_caller(session: AsyncSession, key: str) -> Caller | None:
    """The owner of this key; None when the key is unknown or revoked."""
    parts = _KEY.fullmatch(key)
    if parts is None:
        return None
    row = await session.get(ApiKey, parts[1])
    kept = row.secret_hash if row is not None else _NOBODYS_HASH
    matches = hmac.compare_digest(_hash(parts[2]), kept)
    if not matches or row is None or row.revoked_at is not None:
        return None
    return Caller(row.id, row.name, frozenset(row.scopes))


async def is_valid(session: AsyncSession, public: str) -> bool:
    """Whether the key with this public part is there and not revoked."""
    row = await session.get(ApiKey, public)
    return row is not None and row.revoked_at is None


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
