"""What a store can answer instead of success: two typed failures, and nothing else.

The caller of a sink needs one decision: retry, or make the event a dead letter. So every driver's
exceptions are folded into two. What is the *event's* fault is `StoreRejected`; everything else,
also a wrong password or a missing table, is `StoreUnavailable`: giving up good events because a
server is set up wrongly would lose them, waiting does not.
"""

from domain.failures import Denied, Reject, Retry


class StoreUnavailable(Retry):
    """The store is unavailable, overloaded or set up wrongly; the same call may succeed later.

    Attributes:
        store: which one, with its address and without its secrets.
        operation: what was asked of it.
        detail: what it said.
        state: SQLSTATE, where Postgres has given one; else empty.
        summary: public text: it contains neither addresses nor data.
    """

    summary = "no answer"

    def __init__(self, store: str, operation: str, detail: str, *, state: str = "") -> None:
        super().__init__(f"{store}: {operation}: {detail}")
        self.store = store
        self.operation = operation
        self.detail = detail
        self.state = state


class StoreReadOnly(StoreUnavailable):
    """The server answers and takes no writes: a standby or replica, or one that was set so.

    After a fail-over the connection leads to the wrong server; a new one may lead to the right one.
    """

    summary = "read-only"


class SessionsNotKept(StoreUnavailable):
    """A pooler in between gives each transaction another session, which is not supported."""

    summary = "a pooler that does not keep sessions is in between"


class StoreDenied(StoreUnavailable, Denied):
    """The store denies access to this object.

    S3 gives the same answer for a wrong policy, for an object with its own access rules, and, to
    clients that may not list the bucket, for an object that does not exist.
    """


class StoreFault(StoreUnavailable):
    """The store answered with an internal error: it may be down, or fail for this object."""


class ObjectFault(StoreFault, Denied):
    """The store fails over this very object, and serves others.

    An object may be lost or broken permanently; or a part of the store is unavailable that will
    return.
    """

    reason = "store_fault"


class StoreRejected(Reject):
    """The store refuses this very data; the same call can never succeed.

    Attributes:
        store: which one, with its address and without its secrets.
        operation: the operation that failed.
        detail: what it said.
        reason: stable code for dead letters, ``store_rejected`` unless a sink knows better.
        state: SQLSTATE, where Postgres has given one; else empty.
    """

    def __init__(
        self,
        store: str,
        operation: str,
        detail: str,
        *,
        reason: str = "store_rejected",
        state: str = "",
    ) -> None:
        super().__init__(reason, f"{store}: {operation}: {detail}")
        self.store = store
        self.operation = operation
        self.detail = detail
        self.state = state
