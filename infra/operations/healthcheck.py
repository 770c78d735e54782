"""``python -m infra.operations.healthcheck URL``: the health check of a container, without curl.

Exit code 0 when the address answers 2xx, else 1 with the reason on standard output, where ``docker
inspect`` shows it. It imports nothing heavy: it runs every few seconds, next to the models.
"""

import http.client
import sys
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 4.0
_EXPLANATION_BYTES = 2000


def probe(url: str) -> tuple[bool, str]:
    """Ask once.

    Args:
        url: ``http://host:port/path``.

    Returns:
        Whether the answer was 2xx, and the answer's beginning or what went wrong.
    """
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", address.path or "/")
        answer = connection.getresponse()
        text = answer.read(_EXPLANATION_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return False, f"{url}: {error!r}"
    finally:
        connection.close()
    return http.HTTPStatus.OK <= answer.status < http.HTTPStatus.MULTIPLE_CHOICES, text


def main() -> int:
    """Probe the address named on the command line; returns the exit code."""
    healthy, text = probe(sys.argv[1])
    sys.stdout.write(f"{text}\n")
    return 0 if healthy else 1


if __name__ == "__main__":
    raise SystemExit(main())
