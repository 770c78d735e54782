"""What a worker logs on topics that were just made: one format, and no false alarm."""

import re
import signal

import pytest

from tests.end_to_end.delivery import bench, until

LINE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z (DEBUG|INFO|WARNING|ERROR) +[\w.]+: ")

pytestmark = pytest.mark.waits


async def test_field_18_a_fresh_start_logs_no_error_and_one_format(prepared, environment, tmp_path):
    async with bench(prepared, environment, tmp_path) as own:
        worker = own.start()
        sent = [
            *await own.publish(*["ok"] * 20),
            *await own.publish("ok", topic=own.topics.uploads),
        ]
        await until(lambda: set(sent) <= set(own.noted("done")))
        worker.send(signal.SIGTERM)
        code, _ = await worker.ended(30)
        assert code == 0
        lines = worker.log.read_text().splitlines()
        assert lines
        assert not [line for line in lines if " ERROR " in line]
        assert not [line for line in lines if not LINE.match(line)]
