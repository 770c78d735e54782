"""Sources of frames: files, folders and live streams, read without a server."""

import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.images.media_types import media_type
from infra.cameras.encoding import JpegEncoder
from infra.cameras.identity import (
    BadCameraError,
    camera_source,
    check_camera,
    content_id,
    frame_id,
)
from infra.cameras.sources import (
    LiveSource,
    PictureSource,
    SourceError,
    VideoSource,
    open_source,
)
from infra.cameras.sources.live import without_credentials


def picture(seed: int, suffix: str = ".jpg", width: int = 64) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (48, width, 3), dtype=np.uint8)
    done, data = cv2.imencode(suffix, pixels)
    assert done
    return data.tobytes()


def write_video(path: Path, frames: int = 10, rate: float = 20.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), rate, (64, 48))
    for index in range(frames):
        writer.write(np.full((48, 64, 3), 20 * index, np.uint8))
    writer.release()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.png").write_bytes(picture(2, ".png"))
    (tmp_path / "a.jpg").write_bytes(picture(1))
    (tmp_path / "c.webp").write_bytes(picture(3, ".webp"))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    return tmp_path


# --- names ------------------------------------------------------------------------------------


@given(st.text(min_size=1, max_size=40))
def test_the_source_attribute_is_ascii_and_differs_for_each_camera(camera: str):
    try:
        check_camera(camera)
    except BadCameraError:
        return
    source = camera_source(camera)
    assert source.isascii()
    assert source.isprintable()
    assert not set(source) & set(' "<>\\^`{|}?#')
    assert camera_source(camera + "x") != source


def test_the_source_attribute_reads_well_for_plain_names():
    assert camera_source("site/door-1") == "camera/site/door-1"
    assert camera_source("Tür 1?") == "camera/T%C3%BCr%201%3F"


@pytest.mark.parametrize("camera", ["", "a\nb", "a\x00", "x" * 600, "é" * 100])
def test_a_camera_that_no_event_can_carry_is_refused(camera: str):
    with pytest.raises(BadCameraError):
        check_camera(camera)


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_content_ids_are_equal_only_for_the_same_camera_and_bytes(one: bytes, other: bytes):
    assert content_id("door", one) == content_id("door", one)
    assert content_id("door", one) != content_id("lobby", one)
    assert (content_id("door", one) == content_id("door", other)) == (one == other)


def test_frame_ids_sort_as_the_frames_do():
    assert sorted([frame_id("r", 10), frame_id("r", 9)]) == [frame_id("r", 9), frame_id("r", 10)]


# --- pictures ---------------------------------------------------------------------------------


def test_a_folder_is_sent_byte_for_byte_sorted_and_recursive(folder: Path):
    source = PictureSource(folder, "door")
    frames = list(source.frames())
    assert [frame.data for frame in frames] == [
        (folder / "a.jpg").read_bytes(),
        (folder / "b" / "two.png").read_bytes(),
        (folder / "c.webp").read_bytes(),
    ]
    assert source.counts.skipped == 2


def test_a_folder_read_twice_gives_the_same_ids_unless_asked_for_again(folder: Path):
    first = [frame.id for frame in PictureSource(folder, "door").frames()]
    assert [frame.id for frame in PictureSource(folder, "door").frames()] == first
    again = [frame.id for frame in PictureSource(folder, "door", again=True).frames()]
    assert not set(again) & set(first)
    assert len(set(again)) == 3


def test_a_looped_folder_makes_new_events_in_later_rounds(folder: Path):
    source = PictureSource(folder, "door", loop=True)
    frames = source.frames()
    ids = [next(frames).id for _ in range(9)]
    source.close()
    assert len(set(ids)) == 9
    assert next(frames, None) is None


def test_a_rate_spaces_pictures(folder: Path):
    times = [frame.captured_at for frame in PictureSource(folder, "door", rate=4).frames()]
    assert [later - times[0] for later in times] == [
        timedelta(0),
        timedelta(seconds=0.25),
        timedelta(seconds=0.5),
    ]


def test_a_folder_without_pictures_is_an_error(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(SourceError, match="no JPEG, PNG or WebP"):
        list(PictureSource(tmp_path, "door").frames())


# --- videos -----------------------------------------------------------------------------------


def test_a_video_keeps_its_own_times(tmp_path: Path):
    source = VideoSource(write_video(tmp_path / "v.mp4"))
    frames = list(source.frames())
    assert len(frames) == source.length == 10
    offsets = [(frame.captured_at - frames[0].captured_at).total_seconds() for frame in frames]
    assert offsets == pytest.approx([index / 20 for index in range(10)], abs=1e-3)
    assert len({frame.id for frame in frames}) == 10
    for index, frame in enumerate(frames):
        assert isinstance(frame.data, np.ndarray)
        assert abs(float(frame.data.mean()) - 20 * index) < 8


def test_a_rate_sets_the_times_of_a_video_and_keeps_all_frames(tmp_path: Path):
    frames = list(VideoSource(write_video(tmp_path / "v.mp4"), rate=100).frames())
    assert len(frames) == 10
    assert frames[-1].captured_at - frames[0].captured_at == timedelta(seconds=0.09)


def test_a_looped_video_goes_on_in_time(tmp_path: Path):
    source = VideoSource(write_video(tmp_path / "v.mp4"), loop=True)
    frames = source.frames()
    played = [next(frames) for _ in range(25)]
    source.close()
    gaps = [
        (later.captured_at - earlier.captured_at).total_seconds()
        for earlier, later in pairwise(played)
    ]
    assert gaps == pytest.approx([0.05] * 24, abs=1e-3)
    assert len({frame.id for frame in played}) == 25
    assert source.length is None


def test_two_runs_of_a_video_are_different_events(tmp_path: Path):
    path = write_video(tmp_path / "v.mp4")
    first = {frame.id for frame in VideoSource(path).frames()}
    assert not first & {frame.id for frame in VideoSource(path).frames()}


def test_a_file_that_is_no_video_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(SourceError, match="not a video"):
        list(VideoSource(path).frames())
    assert capfd.readouterr().err == ""


# --- encoding ---------------------------------------------------------------------------------


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 60))
def test_frames_are_scaled_down_never_up(width: int, height: int, limit: int):
    data = JpegEncoder(width=limit).encode(np.zeros((height, width, 3), np.uint8))
    assert media_type(data) == "image/jpeg"
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape[1] == min(width, limit)
    assert decoded.shape[0] == (height if width <= limit else max(1, round(height * limit / width)))


@given(st.binary(max_size=40))
def test_other_bytes_have_no_media_type(data: bytes):
    if data[:3] != b"\xff\xd8\xff" and data[:4] not in {b"\x89PNG", b"RIFF"}:
        assert media_type(data) is None


# --- live -------------------------------------------------------------------------------------


class MjpegServer:
    """An HTTP camera: serves so many frames a connection, then hangs up."""

    def __init__(self, frames_per_connection: int, interval: float = 0.01) -> None:
        self.connections = 0
        self.stopping = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.connections += 1
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                for index in range(frames_per_connection):
                    if outer.stopping.wait(interval):
                        return
                    jpeg = picture(index)
                    try:
                        self.wfile.write(
                            b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
                            % len(jpeg)
                            + jpeg
                            + b"\r\n"
                        )
                    except OSError:
                        return

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://user:secret@127.0.0.1:{self._server.server_port}/cam.mjpg?token=t"

    def close(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def test_a_slow_reader_of_a_live_stream_gets_the_newest_frame_and_a_count_of_the_rest():
    server = MjpegServer(frames_per_connection=10_000)
    source = LiveSource(server.url)
    try:
        frames = source.frames()
        next(frames)
        deadline = time.monotonic() + 10
        while source.counts.dropped < 20 and time.monotonic() < deadline:
            time.sleep(0.02)
        before = time.time()
        newest = next(frames)
        assert source.counts.dropped >= 20
        assert newest.captured_at.timestamp() > before - 1
    finally:
        source.close()
        server.close()


def test_a_lost_stream_is_opened_again():
    server = MjpegServer(frames_per_connection=5)
    source = LiveSource(server.url, reconnect_initial=0.05)
    try:
        frames = source.frames()
        deadline = time.monotonic() + 20
        while server.connections < 3 and time.monotonic() < deadline:
            next(frames)
        assert server.connections >= 3
        assert source.counts.reconnects >= 2
    finally:
        source.close()
        server.close()
    assert next(frames, None) is None


@pytest.mark.parametrize("asked", [False, True])
def test_field_06_a_camera_on_this_machine_is_not_reached_by_a_proxy(monkeypatch, asked):
    server = MjpegServer(frames_per_connection=5)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    source = LiveSource(server.url, environment_proxy=asked)
    try:
        assert next(source.frames()).data.ndim == 3
    finally:
        source.close()
        server.close()


@pytest.mark.parametrize("asked", [False, True])
def test_field_06_a_camera_is_reached_by_the_environments_proxy_where_asked(monkeypatch, asked):
    """The camera's name exists for the proxy alone, which in this test is the camera itself."""
    server = MjpegServer(frames_per_connection=5)
    monkeypatch.setenv("http_proxy", server.url.partition("/cam")[0])
    source = open_source("http://camera.invalid/cam.mjpg", "door", environment_proxy=asked)
    try:
        if asked:
            assert next(source.frames()).data.ndim == 3
        else:
            with pytest.raises(SourceError, match="cannot read"):
                next(source.frames())
        assert server.connections == int(asked)
    finally:
        source.close()
        server.close()


def test_a_stream_that_cannot_be_reached_is_an_error_without_its_password():
    server = MjpegServer(1)
    server.close()
    with pytest.raises(SourceError) as caught:
        next(LiveSource(server.url).frames())
    assert "cannot read from http://127.0.0.1" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "token" not in str(caught.value)


def test_credentials_leave_no_trace_in_names():
    shown = without_credentials("rtsp://admin:pw@cam.example:8554/live/1?password=pw#x")
    assert shown == "rtsp://cam.example:8554/live/1"


# --- which source -----------------------------------------------------------------------------


def test_the_location_decides_the_kind_of_source(folder: Path):
    write_video(folder / "v.mp4")
    assert isinstance(open_source(str(folder), "door"), PictureSource)
    assert isinstance(open_source(str(folder / "a.jpg"), "door"), PictureSource)
    assert isinstance(open_source(str(folder / "v.mp4"), "door"), VideoSource)
    assert isinstance(open_source("rtsp://cam/1", "door"), LiveSource)
    assert isinstance(open_source("webcam:0", "door"), LiveSource)
    with pytest.raises(SourceError, match="No such file"):
        open_source(str(folder / "absent.mp4"), "door")
