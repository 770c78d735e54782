"""The harness passes a correct pipeline, and finds the flaws of one without a protection.

Short runs on the embedded broker: they test the harness. `make chaos` tests the pipeline.
"""

import pytest

from tests.chaos.run import Options, run
from tests.chaos.schedule import PlannedFault

pytestmark = pytest.mark.waits

#: One worker of each kind is killed while messages are in work.
KILLS = (
    PlannedFault(4.0, "kill", "detect", 0.0, 0.0),
    PlannedFault(6.0, "kill", "identify", 0.0, 0.0),
    PlannedFault(8.0, "kill", "follow", 0.0, 0.0),
)


async def outcome(program, planned_faults=KILLS, rate=40.0, visits_timeout=30.0):
    options = Options(
        seed=11,
        seconds=9.0,
        rate=rate,
        embedded_broker=True,
        planned_faults=planned_faults,
        program=program,
        workers=1,
        idle_timeout=60.0,
        visits_timeout=visits_timeout,
    )
    return await run(options, print)


async def test_a_correct_pipeline_passes():
    result = await outcome("infra.cli.main", visits_timeout=90.0)
    assert result.verdict.flaws == ()
    assert len(result.injected) == len(KILLS)
    assert result.events == 361
    assert result.visits.visits > 0
    assert set(result.corrections.made) >= {"is_user", "merge", "photo_out", "undo"}
    assert result.corrections.promoted > 0
    assert result.visits.faces + result.visits.dropped > 200


async def test_workers_that_acknowledge_too_early_lose_events():
    # More events than one worker can process, so that many are in work when it is killed.
    result = await outcome("tests.chaos.sabotage.acknowledge_early", rate=120.0)
    assert not result.passed
    assert result.verdict.count("lost") > 0


async def test_workers_that_do_not_recognise_an_event_double_it():
    result = await outcome("tests.chaos.sabotage.forget_names", planned_faults=(), rate=15.0)
    assert not result.passed
    assert result.verdict.count("doubled") > 0


def kills_of_follow():
    """At many moments: on a busy machine there may be nothing to send at one of them."""
    moments = (6.0, 9.0, 12.0, 15.0, 19.0, 23.0)
    return tuple(PlannedFault(at, "kill", "follow", 0.0, 0.0) for at in moments)


async def test_workers_that_forget_messages_of_visits_lose_them():
    result = await outcome("tests.chaos.sabotage.forget_announcements", kills_of_follow())
    assert not result.passed
    assert {flaw.sort for flaw in result.verdict.flaws} == {"lost"}
    assert all("lacks its messages" in flaw.what for flaw in result.verdict.flaws)


async def test_workers_that_forget_changes_of_people_lose_them():
    result = await outcome("tests.chaos.sabotage.forget_changes", kills_of_follow(), rate=15.0)
    assert not result.passed
    lost = [flaw.what for flaw in result.verdict.flaws if flaw.sort == "lost"]
    assert lost
    assert [what for what in lost if "on people.changes" not in what] == []
