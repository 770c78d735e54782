"""What Redis' refusals mean, in words of our own: theirs repeat the command, raw bytes and all."""

import re

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

#: By the code that begins a server's error.
_MEANINGS = {
    "READONLY": "the server is a replica, which takes no writes",
    "MASTERDOWN": "the server is a replica that has lost its master",
    "LOADING": "the server is loading its data",
    "NOREPLICAS": "the server has too few replicas to take writes",
    "OOM": "the server's memory is full (maxmemory)",
    "MISCONF": "the server cannot save to its disk, and takes no writes",
    "BUSY": "the server is busy with a script",
    "CLUSTERDOWN": "the cluster is down",
    "TRYAGAIN": "the cluster is moving these keys",
    "CROSSSLOT": "the server is a cluster, which is not supported",
    "MOVED": "the server is a cluster, which is not supported",
    "ASK": "the server is a cluster, which is not supported",
    "WRONGPASS": "invalid username-password pair, or the user is disabled",
    "NOAUTH": "the server needs a password",
    "NOPERM": "the user has no permission for this command or key",
    "NOPROTO": "the server does not know this version of the protocol",
    "WRONGTYPE": "a key holds something else",
    "EXECABORT": "the transaction was refused",
    "UNKILLABLE": "the server is busy with a script",
    "ERR": "the server refuses the command",
}

#: A name may lead to these after a fail-over, and to another server when it is asked again.
_WRONG_SERVER = frozenset({"READONLY", "MASTERDOWN"})

_CODE = re.compile(r"-?([A-Z][A-Z0-9]{2,31})(?= |$)")

#: The client puts the whole command before what the server has said.
_AFTER_COMMAND = "of pipeline caused error: "

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_MAX_CHARACTERS = 200


def code_of(error: BaseException) -> str:
    """The code of a server's error, such as ``READONLY``; empty where there is none."""
    code = getattr(error, "status_code", None)
    if isinstance(code, str) and code in _MEANINGS:
        return code
    if not isinstance(error, RedisError):
        return ""
    said = str(error).rpartition(_AFTER_COMMAND)[2].lstrip("('\"")
    named = _CODE.match(said)
    return named[1] if named is not None and named[1] in _MEANINGS else ""


def is_wrong_server(code: str) -> bool:
    """Whether an error says that this server cannot be the one to write to."""
    return code in _WRONG_SERVER


def described(error: BaseException) -> str:
    """One printable line that says what went wrong, without anything of the command."""
    kind, code = type(error).__name__, code_of(error)
    if code:
        return f"{code}: {_MEANINGS[code]}"
    if isinstance(error, UnicodeError):
        return f"{kind}: a text cannot be encoded"
    # Of connections the client says where they led and why they failed. All else it may quote.
    if isinstance(error, RedisConnectionError | RedisTimeoutError) or not isinstance(
        error, RedisError
    ):
        said = str(error) if _AFTER_COMMAND not in str(error) else ""
        line = _UNPRINTABLE.sub("?", said)[:_MAX_CHARACTERS]
        return f"{kind}: {line}" if line else kind
    return kind
