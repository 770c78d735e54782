"""A demonstration that is killed leaves nothing behind."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import pytest

from streams.contract.topics import ROLES

ROOT = Path(__file__).parents[2]
STARTED = (*(f"worker-{role}.address" for role in ROLES), "api.address")


def belonging_to(directory):
    """Processes that have the directory in their command line or environment, or work there."""
    found = {}
    wanted = os.fsencode(directory)
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_bytes()
                known = command + (process / "environ").read_bytes()
                if wanted in known + os.fsencode((process / "cwd").readlink()):
                    found[int(process.name)] = command
    return found


async def until(condition, seconds):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - processes have no event
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("moment", [STARTED[:0], STARTED], ids=["starting", "started"])
async def test_field_23_a_killed_demonstration_leaves_no_process(data_dir, moment):
    logs = data_dir / "logs"
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.cli.main", "demo", "--data-dir", data_dir),
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        began = (logs / "postgres.log", *(logs / name for name in moment))
        await until(lambda: all(file.exists() for file in began), 120)
        programs = b"\0".join(belonging_to(data_dir).values()).split(b"\0")
        assert {*map(str.encode, ROLES), b"api"} <= {*programs} or not moment
    finally:
        demo.kill()
        await demo.wait()
    await until(lambda: not belonging_to(data_dir), 45)
