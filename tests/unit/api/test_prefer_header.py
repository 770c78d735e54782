"""What callers prefer, by RFC 7240."""

import pytest
from fastapi import Response

from api.http.prefer_header import Preferences


@pytest.mark.parametrize(
    ("headers", "seconds", "applied"),
    [
        ([], 10, None),
        ([""], 10, None),
        (["respond-async"], 0, "respond-async"),
        # RFC 7240, 4.3: together, not to wait any longer than so.
        (["Respond-Async; foo=bar, wait=3"], 3, "respond-async, wait=3"),
        (["wait=3, respond-async"], 3, "respond-async, wait=3"),
        (["handling=lenient", "wait = 3"], 3, "wait=3"),
        (["respond-async, wait=100"], 10, "respond-async"),
        (["wait=3"], 3, "wait=3"),
        (["wait=3, wait=5"], 3, "wait=3"),
        (["wait=100"], 10, None),
        (["wait=-1"], 10, None),
        (["wait=²"], 10, None),
        (["handling=strict"], 10, None),
    ],
)
def test_a_preference_is_granted_where_it_can_be(headers, seconds, applied):
    preferences = Preferences.read(headers, 10.0)
    assert preferences.seconds == seconds
    response = Response()
    preferences.acknowledge(response)
    assert response.headers.get("preference-applied") == applied
