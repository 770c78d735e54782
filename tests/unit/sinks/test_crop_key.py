import re
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.object_keys import crop_key

FACE = UUID("00000000-0000-4000-8000-000000000001")
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
KEY = re.compile(
    r"crops/([A-Za-z0-9_=-][A-Za-z0-9_=.-]{0,151})/\d{4}/\d\d/\d\d/[0-9a-f-]{36}\.jpg", re.ASCII
)
HOSTILE = st.one_of(
    st.text(st.characters()),
    st.text(st.sampled_from("./\\%=~\0\n a2EF"), max_size=20),
    st.sampled_from(["", ".", "..", "../..", "/", "=2E", "==", "\ud800", "a" * 10_000, "é" * 200]),
)


def test_a_plain_camera_keeps_its_name():
    assert crop_key("door-1", NOON, FACE) == f"crops/door-1/2026/01/02/{FACE}.jpg"


@pytest.mark.parametrize(
    ("camera", "folder"),
    [
        ("..", "=2E."),
        ("../../etc", "=2E.=2F..=2Fetc"),
        ("a/b", "a=2Fb"),
        ("hall 2", "hall=202"),
        ("Tür", "T=C3=BCr"),
        ("a=2Fb", "a=3D2Fb"),
    ],
)
def test_what_could_steer_the_key_is_escaped(camera, folder):
    assert crop_key(camera, NOON, FACE).split("/")[1] == folder


def test_the_day_is_utcs():
    east = timezone(timedelta(hours=5))
    assert "/2025/12/31/" in crop_key("c", datetime(2026, 1, 1, 2, tzinfo=east), FACE)


@given(
    camera=HOSTILE,
    moment=st.datetimes(timezones=st.timezones() | st.just(timezone(timedelta(hours=14)))),
    face=st.uuids(),
)
def test_no_camera_leaves_its_folder(camera, moment, face):
    key = crop_key(camera, moment, face)
    assert KEY.fullmatch(key)
    assert len(key) < 256
    assert key.endswith(f"/{face}.jpg")
    assert "" not in key.split("/")
    assert not {".", ".."} & set(key.split("/"))


@given(one=HOSTILE, other=HOSTILE)
def test_two_cameras_never_share_a_folder(one, other):
    assert (crop_key(one, NOON, FACE) == crop_key(other, NOON, FACE)) == (one == other)


@given(shared=st.text(min_size=120, max_size=300), one=HOSTILE, other=HOSTILE)
def test_long_names_that_begin_alike_do_not_share_one_either(shared, one, other):
    keys = crop_key(shared + one, NOON, FACE), crop_key(shared + other, NOON, FACE)
    assert (keys[0] == keys[1]) == (one == other)
