"""Redis' refusals are reported by their code, and never with the contents of the command."""

import pytest
from redis import exceptions
from redis.asyncio.client import Pipeline

from sinks.cache.redis_errors import code_of, described, is_wrong_server

SECRET = b"\x93\xc4\x10\xff\x00caused error: OOM embedding\n"

ANSWERS = [
    ("READONLY You can't write against a read only replica.", "READONLY"),
    ("LOADING Redis is loading the dataset in memory", "LOADING"),
    ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
     "MASTERDOWN"),
    ("NOREPLICAS Not enough good replicas to write.", "NOREPLICAS"),
    ("OOM command not allowed when used memory > 'maxmemory'.", "OOM"),
    ("CLUSTERDOWN The cluster is down", "CLUSTERDOWN"),
    ("MISCONF Redis is configured to save RDB snapshots, but is unable to persist", "MISCONF"),
    ("WRONGPASS invalid username-password pair or user is disabled.", "WRONGPASS"),
    ("NOAUTH Authentication required.", "NOAUTH"),
    ("NOPERM this user has no permissions to access one of the keys", "NOPERM"),
    ("MOVED 3999 127.0.0.1:6381", "MOVED"),
    ("BUSY Redis is busy running a script", "BUSY"),
    ("WRONGTYPE Operation against a key holding the wrong kind of value", "WRONGTYPE"),
    ("EXECABORT Transaction discarded because of previous errors.", "EXECABORT"),
    ("ERR unknown command 'X', with args beginning with: 'secret'", "ERR"),
]  # fmt: skip


def parsed(answer):
    """As the client makes it of a server's answer."""
    from redis._parsers.base import BaseParser

    return BaseParser.parse_error(answer)


@pytest.mark.parametrize(("answer", "code"), ANSWERS)
@pytest.mark.parametrize("piped", [False, True])
def test_field_05_a_refusal_is_reported_by_its_code(answer, code, piped):
    error = parsed(answer)
    if piped:
        Pipeline.annotate_exception(None, error, 1, (b"LPUSH", b"key", SECRET))
    said = described(error)
    assert code_of(error) == code
    assert said.startswith(f"{code}: ")
    assert said.isascii()
    assert said.isprintable()
    assert "secret" not in said
    assert "embedding" not in said
    assert is_wrong_server(code) == (code in {"READONLY", "MASTERDOWN"})


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ResponseError("SOMETHING new 'secret'"),
        exceptions.ResponseError("Command # 1 (SET \x00 secret) of pipeline caused error: ('x',)"),
        exceptions.DataError("Invalid input of type: 'secret'"),
        exceptions.WatchError("secret"),
        exceptions.InvalidResponse(b"secret \xff"),
        UnicodeEncodeError("utf-8", "secret", 0, 1, "no"),
        exceptions.ConnectionError("Command # 1 (secret) of pipeline caused error: ('gone',)"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_field_05_what_is_not_known_is_not_repeated(error):
    assert "secret" not in described(error)
    assert type(error).__name__ in described(error)


def test_the_address_of_a_failed_connection_is_reported():
    error = exceptions.ConnectionError("Error 111 connecting to 127.0.0.1:1.\n Refused\xe9.")
    assert described(error) == "ConnectionError: Error 111 connecting to 127.0.0.1:1.? Refused?."
    assert code_of(error) == ""
