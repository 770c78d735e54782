"""The harness passes a sound pipeline, and finds out one whose protection was taken out.

Short runs on the embedded broker: what is tried here is the harness. `make chaos` tries the
pipeline.
"""

import pytest

from tests.chaos.run import Options, run
from tests.chaos.schedule import Strike

pytestmark = pytest.mark.waits

#: Both kinds, while messages are in work.
KILLS = (Strike(4.0, "kill", "detect", 0.0, 0.0), Strike(6.0, "kill", "identify", 0.0, 0.0))


async def outcome(program, strikes=KILLS, rate=40.0):
    options = Options(
        seed=11,
        seconds=9.0,
        rate=rate,
        embedded_broker=True,
        strikes=strikes,
        program=program,
        workers=1,
        settle_seconds=60.0,
    )
    return await run(options, print)


async def test_a_sound_pipeline_passes():
    result = await outcome("infra.cli.main")
    assert result.verdict.flaws == ()
    assert len(result.struck) == len(KILLS)
    assert result.events == 361


async def test_workers_that_acknowledge_too_early_lose_events():
    # More events than one worker can take, so that many are in it when it is killed.
    result = await outcome("tests.chaos.sabotage.acknowledge_early", rate=120.0)
    assert not result.passed
    assert result.verdict.count("lost") > 0


async def test_workers_that_do_not_know_an_event_again_double_it():
    result = await outcome("tests.chaos.sabotage.forget_names", strikes=(), rate=15.0)
    assert not result.passed
    assert result.verdict.count("doubled") > 0
