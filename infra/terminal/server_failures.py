"""What may go wrong in a command that talks to the servers, as one clear line."""

from collections.abc import Iterator
from contextlib import contextmanager

from infra.terminal.command_errors import CommandFailed


@contextmanager
def expected_failures() -> Iterator[None]:
    """Turn the failures of stores and broker into `CommandFailed`."""
    from sqlalchemy.exc import DBAPIError

    from domain.failures import Fatal, Reject, Retry
    from streams.clients.image_producer import PublishError

    try:
        yield
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0]
        raise CommandFailed(f"a database refuses: {reason}; has fecapass init-db run?") from error
    except UnicodeEncodeError as error:
        raise CommandFailed("an argument or a name is not UTF-8") from error
    except (Fatal, Retry, Reject, PublishError, OSError) as error:
        raise CommandFailed(str(error)) from error
