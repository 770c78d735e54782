"""What may go wrong in a command that talks to the servers, as one clear line."""

from collections.abc import Iterator
from contextlib import contextmanager

from infra.cli.errors import CommandFailed


@contextmanager
def expected_failures() -> Iterator[None]:
    """Turn the failures of stores and broker into `CommandFailed`."""
    from streams.failures import Fatal, Reject, Retry
    from streams.images import PublishError

    try:
        yield
    except (Fatal, Retry, Reject, PublishError, OSError) as error:
        raise CommandFailed(str(error)) from error
