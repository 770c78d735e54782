"""What is looked for again and again is looked for after an outage, too, and logged once."""

import asyncio
import logging
from contextlib import suppress

import pytest

from agents.polling import poll
from domain.failures import Reject, Retry


async def test_an_outage_is_logged_once_and_so_is_its_end(caplog):
    looks = iter([None, Retry("away"), Retry("away"), None, None, asyncio.CancelledError()])

    async def look():
        if (failure := next(looks)) is not None:
            raise failure

    caplog.set_level(logging.INFO, logger="agents.polling")
    with suppress(asyncio.CancelledError):
        await poll(look, 0, "following the tests")
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "following the tests fails: away"),
        ("INFO", "following the tests succeeds again"),
    ]


async def test_a_failure_that_will_not_pass_is_raised():
    async def look():
        raise Reject("wrong", "never")

    with pytest.raises(Reject):
        await poll(look, 0, "following the tests")
