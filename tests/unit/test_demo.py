"""The demonstration's decisions: whom to enrol, what to show, and what to do with a dead worker."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import aiohttp
import cv2
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from config.network.listening import Address, announce
from infra.demo.contact_sheet import draw
from infra.demo.demo_errors import DemoError
from infra.demo.demo_report import show_health
from infra.demo.demo_workers import CommandProcess, ListeningProcess, _is_healthy
from infra.demo.material import own_cameras, sample_material
from infra.demo.sheet import build_sheet, choose_events
from infra.demo.sightings import Sighting, summary
from streams.lifecycle.health_server import Check, HealthServer

WHEN = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)


def jpeg(grey: int) -> bytes:
    return cv2.imencode(".jpg", np.full((60, 80, 3), 40 * grey, np.uint8))[1].tobytes()


def seen(
    number: int, name: str | None = None, camera: str = "door", visit: int | None = None
) -> Sighting:
    return Sighting(
        event=UUID(int=number),
        camera=camera,
        captured_at=WHEN + timedelta(seconds=number),
        box=(10.0, 10.0, 20.0, 30.0),
        name=name,
        similarity=0.5 + number / 100 if name else None,
        visit=None if visit is None else UUID(int=visit),
    )


def test_the_samples_are_two_people_and_four_cameras(tmp_path: Path):
    material = sample_material(tmp_path)
    assert [person.name for person in material.people] == ["Eileen Collins", "Carphone man"]
    assert [len(person.photos) for person in material.people] == [1, 3]
    assert all(
        cv2.imread(str(path)) is not None for person in material.people for path in person.photos
    )
    assert [camera.camera for camera in material.cameras] == ["car", "street", "cartoon", "lobby"]


def test_a_video_that_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(DemoError, match="there is no video"):
        own_cameras([tmp_path / "none.mp4"], 10)


def test_videos_of_one_name_are_different_cameras(tmp_path: Path):
    videos = [tmp_path / folder / "cam.mp4" for folder in ("a", "b")]
    for video in videos:
        video.parent.mkdir()
        video.write_bytes(b"x")
    assert [camera.camera for camera in own_cameras(videos, 10)] == ["cam", "cam-2"]


def test_the_summary_has_a_row_for_each_visit_people_first():
    rows = summary(
        [
            seen(1, visit=1),
            seen(2, "Ada", visit=2),
            seen(4, "Ada", visit=2),
            seen(3, "Ada", "car", visit=3),
            seen(5, visit=4),
            seen(6),  # its embedding says nothing
        ]
    )
    assert [(row["name"], row["camera_id"], row["faces"]) for row in rows] == [
        ("Ada", "door", 2),
        ("Ada", "car", 1),
        (None, "door", 1),
        (None, "door", 1),
    ]
    assert rows[0]["first_seen"] == WHEN + timedelta(seconds=2)
    assert rows[0]["last_seen"] == WHEN + timedelta(seconds=4)
    assert rows[0]["similarity"] == pytest.approx(0.54)


@given(st.integers(0, 60), st.integers(1, 8))
def test_chosen_frames_are_spread_from_the_first_to_the_last(count: int, limit: int):
    chosen = choose_events([seen(number) for number in range(count)], limit)
    assert len(chosen) == len(set(chosen)) == min(count, limit)
    if chosen:
        assert chosen[0] == UUID(int=0)
    if len(chosen) > 1:
        assert chosen[-1] == UUID(int=count - 1)


def test_frames_with_known_people_are_preferred():
    crowd = [seen(number) for number in range(50)]
    assert choose_events([*crowd, seen(60, "Ada")]) == [UUID(int=60)]


def test_the_sheet_counts_and_shows_what_was_seen():
    everything = [seen(1, "Ada", visit=1), seen(2, "Ada", visit=1), seen(3, visit=2)]
    sheet = build_sheet(everything, {UUID(int=n): jpeg(n) for n in (1, 2, 3, 4)}, ["door"])
    assert (
        "1 person recognised, 2 visits, 1 of unknown people, 1 camera, 4 frames" in sheet.subtitle
    )
    assert [person.name for person in sheet.people] == ["Ada", None]
    assert sheet.people[0].portrait is not None
    assert sheet.people[0].lines == ["1 visit, 2 faces at door", "similarity 0.52"]
    assert len(sheet.frames) == 2
    draw(sheet)


def test_a_still_that_was_sent_several_times_is_shown_once():
    sheet = build_sheet(
        [seen(1, "Ada", visit=1), seen(2, "Ada", visit=1)],
        {UUID(int=n): jpeg(0) for n in (1, 2)},
        ["door"],
    )
    assert len(sheet.frames) == 1
    assert sheet.people[0].lines[0] == "1 visit, 2 faces at door"


def test_nothing_seen_is_a_sheet_too():
    draw(build_sheet([], {}, ["door"]))


async def test_a_command_that_fails_is_reported_with_the_end_of_its_log(tmp_path: Path):
    process = CommandProcess(("no-such-command",), {}, tmp_path / "logs" / "x.log")
    with pytest.raises(
        DemoError, match=r"(?s)no-such-command ended with exit code 2.*[Nn]o such command"
    ):
        await process.wait(30)
    await process.stop(1)


async def test_a_command_that_does_not_end_is_stopped(tmp_path: Path):
    process = CommandProcess(("up", "--data-dir", str(tmp_path / "stack")), {}, tmp_path / "x.log")
    with pytest.raises(DemoError, match="took longer"):
        await process.wait(0.2)
    await process.stop(20)
    assert process.returncode is not None


@pytest.mark.parametrize("answer", ["another instance", "no instance", "no JSON", "a list"])
async def test_field_00_the_answer_of_another_program_does_not_count(answer):
    async def foreign(_request):
        body = {"another instance": '{"instance": "b"}', "no instance": "{}", "a list": '["a"]'}
        return web.Response(text=body.get(answer, "It works!"))

    app = web.Application()
    app.add_routes([web.get("/health", foreign)])
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        address = Address(str(server.make_url("")).rstrip("/"), "a", 1)
        async with session.get(f"{address.url}/health") as response:
            assert response.ok
        assert not await _is_healthy(session, address, "/health")


async def test_field_00_an_own_answer_counts_once_it_is_200():
    checks = [Check("kafka", False, "joining")]
    server = HealthServer("127.0.0.1", 0, "test", lambda: checks)
    address = Address(await server.start(), server.instance, 1)
    async with aiohttp.ClientSession() as session:
        assert not await _is_healthy(session, address, "/health")
        checks.clear()
        assert await _is_healthy(session, address, "/health")
        await server.stop()
        assert not await _is_healthy(session, address, "/health")


async def test_field_00_the_address_of_an_earlier_process_does_not_count(tmp_path):
    process = ListeningProcess(("no-such-command",), {}, tmp_path / "x.log")
    announce(tmp_path / "x.address", "http://127.0.0.1:1", "a")  # with the id of this process
    with pytest.raises(DemoError, match="does not listen yet"):
        _ = process.address
    with pytest.raises(DemoError, match="ended with exit code 2"):
        await process.ready(30)
    await process.stop(1)


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (None, ["The API does not answer."]),
        (
            {"problems": ["no identify worker has reported for 40 s", "[bold]odd"]},
            ["Not everything works:", "no identify worker has reported for 40 s", "[bold]odd"],
        ),
        (
            {
                "problems": [],
                "pipeline": {
                    "workers": {
                        "detect": {"running": 2},
                        "identify": {"running": 1},
                        "follow": {"running": 1},
                    },
                    "lag": {"detect": {"messages": 3}, "identify": {"messages": 4}},
                },
            },
            [
                (
                    "All systems up: 2 detect, 1 identify and 1 follow worker running, "
                    "7 messages to process"
                )
            ],
        ),
    ],
)
def test_field_24_the_end_of_the_demonstration_says_whether_all_works(health, expected):
    console = Console(file=io.StringIO(), width=200)
    show_health(health, console)
    told = console.file.getvalue()
    assert [line.strip() for line in told.splitlines()] == expected
