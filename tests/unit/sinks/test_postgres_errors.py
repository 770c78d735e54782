"""Which failures of the driver mean what, without a server."""

import asyncpg
import pytest

from sinks.postgres.driver_errors import Damage, damage_of, typed, typed_failures
from sinks.store_errors import SessionsNotKept, StoreReadOnly, StoreRejected, StoreUnavailable


def failure(state):
    return asyncpg.PostgresError.new({"C": state, "M": "said", "S": "ERROR", "V": "ERROR"})


@pytest.mark.parametrize(
    ("state", "damage", "kind"),
    [
        ("25006", Damage.POOL, StoreReadOnly),  # a write in a read-only transaction
        ("55000", Damage.POOL, StoreUnavailable),  # a lock while recovery is in progress
        ("57P01", Damage.POOL, StoreUnavailable),  # the administrator ends the session
        ("57P02", Damage.POOL, StoreUnavailable),  # another backend has crashed
        ("57P03", Damage.POOL, StoreUnavailable),  # it starts up, or shuts down
        ("57P04", Damage.POOL, StoreUnavailable),  # the database was dropped
        ("08000", Damage.POOL, StoreUnavailable),
        ("08003", Damage.POOL, StoreUnavailable),
        ("08006", Damage.POOL, StoreUnavailable),
        ("08P01", Damage.POOL, StoreUnavailable),  # how PgBouncer reports
        ("42P05", Damage.CONNECTION, SessionsNotKept),
        ("26000", Damage.CONNECTION, SessionsNotKept),
        ("25P03", Damage.CONNECTION, StoreUnavailable),  # a transaction stood still for too long
        ("57P05", Damage.CONNECTION, StoreUnavailable),  # a session stood idle for too long
        ("57014", Damage.NONE, StoreUnavailable),  # a statement was cancelled
        ("40001", Damage.NONE, StoreUnavailable),
        ("40P01", Damage.NONE, StoreUnavailable),
        ("53100", Damage.NONE, StoreUnavailable),  # the disk is full
        ("55P03", Damage.NONE, StoreUnavailable),
        ("42P01", Damage.NONE, StoreUnavailable),  # a table is missing
        ("28P01", Damage.NONE, StoreUnavailable),
        ("22003", Damage.NONE, StoreRejected),
        ("23505", Damage.NONE, StoreRejected),
        ("54000", Damage.NONE, StoreRejected),
    ],
)
def test_field_05_what_a_state_says_of_the_connection(state, damage, kind):
    error = failure(state)
    assert damage_of(error) is damage
    meant = typed("db", "write", error)
    assert type(meant) is kind
    assert meant.state == state


@pytest.mark.parametrize(
    ("error", "damage", "kind"),
    [
        (TimeoutError(), Damage.POOL, StoreUnavailable),
        (ConnectionResetError(), Damage.POOL, StoreUnavailable),
        (asyncpg.InterfaceError("connection is closed"), Damage.CONNECTION, StoreUnavailable),
        (asyncpg.InternalClientError("no result"), Damage.CONNECTION, StoreUnavailable),
        (asyncpg.TargetServerAttributeNotMatched("x"), Damage.CONNECTION, StoreReadOnly),
        (OverflowError(), Damage.NONE, StoreRejected),
        (UnicodeEncodeError("utf-8", "secret", 0, 1, "no"), Damage.NONE, StoreRejected),
    ],
)
def test_field_05_what_the_driver_itself_says_of_the_connection(error, damage, kind):
    assert damage_of(error) is damage
    assert type(typed("db", "write", error)) is kind


def test_a_value_is_neither_in_the_message_nor_in_the_cause():
    value = "a name that is nobody's business"
    with pytest.raises(StoreRejected) as caught, typed_failures("db", "write"):
        raise UnicodeEncodeError("utf-8", value, 0, 1, "no")
    assert value not in str(caught.value)
    assert caught.value.__cause__ is None
