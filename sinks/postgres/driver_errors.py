"""What the driver of Postgres raises: its type for callers, and what it says of the connection."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import asyncpg

from sinks.store_errors import SessionsNotKept, StoreReadOnly, StoreRejected, StoreUnavailable

#: Classes of SQLSTATE that say "this data": data exception, integrity constraint, program limit.
#: All others (connection, resources, deadlock, read-only, shutdown, but also authentication and a
#: missing table) are the server's or the deployment's, and pass.
_FAULT_OF_THE_DATA = frozenset({"22", "23", "54"})

_READ_ONLY = "25006"

#: States after which no connection of the pool is worth keeping: the server ends, starts, or is
#: the wrong one (a standby; "recovery is in progress" is a 55000).
_WRONG_SERVER = frozenset({_READ_ONLY, "55000", "57P01", "57P02", "57P03", "57P04"})

#: States after which this connection alone is not: the server has ended it while it was idle.
_ENDED = frozenset({"25P03", "25P04", "57P05"})

#: A prepared statement that is not there, or is there already: a pooler has changed the session.
_ANOTHER_SESSION = frozenset({"26000", "42P05"})

_CONNECTION_EXCEPTION = "08"

#: All that the driver raises by itself.
DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    TimeoutError,
    OSError,
    UnicodeError,
    OverflowError,
)

SESSIONS_NOT_KEPT = (
    "a pooler gives each transaction another session; only session pooling is supported "
    "(PgBouncer: pool_mode = session)"
)


class Damage(IntEnum):
    """What is lost with a failed statement."""

    NONE = 0
    #: This connection; others may be good.
    CONNECTION = 1
    #: Every connection of the pool.
    POOL = 2


def damage_of(error: BaseException) -> Damage:
    """What an error of a statement says of the connection that it went over.

    A dead line, and a server that is the wrong one or ends, take all connections with them. They
    would be found out one by one, each by a statement that fails or waits out its time.
    """
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        if state in _WRONG_SERVER or state[:2] == _CONNECTION_EXCEPTION:
            return Damage.POOL
        return Damage.CONNECTION if state in _ENDED | _ANOTHER_SESSION else Damage.NONE
    if isinstance(error, TimeoutError | OSError):
        return Damage.POOL
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return Damage.CONNECTION
    return Damage.NONE


def typed(store: str, operation: str, error: Exception) -> StoreUnavailable | StoreRejected:
    """What callers get for one of `DRIVER_ERRORS`.

    Rows never get into the message: Postgres puts them into the error's detail, which is left out.
    """
    if isinstance(error, asyncpg.PostgresError):
        return _typed_by_state(store, operation, error)
    if isinstance(error, UnicodeError | OverflowError):
        reason = f"a value does not fit its column ({type(error).__name__})"
        return StoreRejected(store, operation, reason)
    if isinstance(error, TimeoutError):
        return StoreUnavailable(store, operation, "no answer in time")
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        reason = "the server is read-only: a standby, or set so by default_transaction_read_only"
        return StoreReadOnly(store, operation, reason, state=_READ_ONLY)
    return StoreUnavailable(store, operation, str(error) or type(error).__name__)


def _typed_by_state(
    store: str, operation: str, error: asyncpg.PostgresError
) -> StoreUnavailable | StoreRejected:
    state = error.sqlstate or ""
    # The driver's own errors have no message, and their text holds the value.
    said = getattr(error, "message", None) or "a value does not fit its column"
    reason = f"{said} (SQLSTATE {state})"
    if state[:2] in _FAULT_OF_THE_DATA:
        return StoreRejected(store, operation, reason, state=state)
    if state == _READ_ONLY:
        return StoreReadOnly(store, operation, reason, state=state)
    if state in _ANOTHER_SESSION:
        detail = f"{SESSIONS_NOT_KEPT}: {reason}"
        return SessionsNotKept(store, operation, detail, state=state)
    return StoreUnavailable(store, operation, reason, state=state)


@contextmanager
def typed_failures(store: str, operation: str) -> Iterator[None]:
    """Turn what the driver raises into `StoreUnavailable` and `StoreRejected`.

    Only calls of the driver belong inside: other code has other failures.
    """
    try:
        yield
    except DRIVER_ERRORS as error:
        failure = typed(store, operation, error)
        if isinstance(failure, StoreRejected):
            # Without its cause: the texts of both driver and server may hold the value.
            raise failure from None
        raise failure from error
