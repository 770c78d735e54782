"""A frame has one result, whatever model embedded it; an upload has one of each model."""

import asyncio

import pytest

from domain.events import EventKind
from domain.store_rows import EventKey
from tests.contract.builders import MODEL, a_result, an_event
from tests.stored_records import commit_results

OTHER = "contract-2"


@pytest.mark.parametrize("faces", [0, 2])
async def test_a_frame_is_known_under_another_model(records, faces):
    result = a_result(faces=faces)
    await commit_results(records, [result])
    again = EventKey(result.event.uuid, OTHER)
    async with records.claim([again]) as claim:
        assert {key: row.model for key, row in claim.existing.items() if key == again} == {
            again: MODEL
        }


async def test_an_upload_is_not_known_under_another_model(records):
    result = a_result(an_event(kind=EventKind.ENROL), faces=1, answer=b"{}")
    await commit_results(records, [result])
    async with records.claim([EventKey(result.event.uuid, OTHER)]) as claim:
        assert claim.existing == {}


async def test_of_two_models_that_race_one_has_the_frame(records):
    events = [an_event() for _ in range(30)]

    async def work(model):
        written = 0
        for event in events if model == MODEL else reversed(events):
            result = a_result(event, model=model)
            async with records.claim([result.key]) as claim:
                if result.key not in claim.existing:
                    written += len(await claim.commit([result]))
        return written

    assert sum(await asyncio.gather(work(MODEL), work(OTHER))) == len(events)
