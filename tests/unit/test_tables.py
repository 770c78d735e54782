"""Listings: the same rows as a table for people and as JSON for programs."""

import json
import re
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from infra.terminal.output import show_listing, to_json
from infra.terminal.tables import SEEN_COLUMNS, Column, plain, table

WHEN = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
ROW = {
    "name": "José [bold]李[/bold]",
    "camera_id": "door-1",
    "first_seen": WHEN,
    "last_seen": WHEN,
    "faces": 57,
    "similarity": 0.8765,
    "user_id": UUID(int=7),
}


def shown(rows: list[dict[str, object]]) -> str:
    console = Console(width=160)
    with console.capture() as capture:
        console.print(table(rows, SEEN_COLUMNS))
    return capture.get()


def test_a_table_shows_names_as_they_are_and_unknowns_as_such():
    text = shown([ROW, {"camera_id": "street", "faces": 3}])
    assert "José [bold]李[/bold]" in text
    assert "0.88" in text
    assert WHEN.astimezone().strftime("%H:%M:%S") in text
    assert "unknown" in text


def test_a_name_cannot_steer_the_terminal():
    assert "\x1b" not in shown([ROW | {"name": "a\x1b[2Jb"}])
    assert plain("a\x1b[2Jb\n") == "a[2Jb"


def test_json_is_one_document_with_every_value(capsys: pytest.CaptureFixture[str]):
    show_listing([ROW], SEEN_COLUMNS, as_json=True, empty="nobody")
    (row,) = json.loads(capsys.readouterr().out)
    assert row["name"] == ROW["name"]
    assert row["user_id"] == str(UUID(int=7))
    assert datetime.fromisoformat(row["first_seen"]) == WHEN


def test_an_empty_listing_is_an_empty_array_or_a_sentence(capsys: pytest.CaptureFixture[str]):
    show_listing([], SEEN_COLUMNS, as_json=True, empty="no users yet")
    assert capsys.readouterr().out == "[]\n"
    show_listing([], SEEN_COLUMNS, as_json=False, empty="no users yet")
    assert capsys.readouterr().out == "no users yet\n"


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "name": st.text(st.characters(exclude_categories=["Cs"])),
                "n": st.integers(-(2**53), 2**53),
            }
        )
    )
)
def test_json_keeps_any_text(rows: list[dict[str, object]]):
    assert json.loads(to_json(rows)) == rows


LONG = {"id": "x" * 60, "text": "many words " * 12}
COLUMNS = (Column("id", "id", whole=True), Column("text", "text"))


def test_field_21_in_a_pipe_a_row_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("COLUMNS", raising=False)
    show_listing([LONG, LONG], COLUMNS, as_json=False, empty="")
    lines = [line for line in capsys.readouterr().out.splitlines() if "x" * 60 in line]
    assert len(lines) == 2
    assert all(LONG["text"].strip() in line for line in lines)


def test_field_21_on_a_narrow_terminal_identifiers_stay_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    show_listing([LONG], COLUMNS, as_json=False, empty="")
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "x" * 60 in out
    assert max(map(len, out.splitlines())) < 80


def test_field_21_a_file_s_name_that_is_no_utf8_ends_no_listing(
    capsys: pytest.CaptureFixture[str],
):
    show_listing([{"photo": "a\udcff.jpg"}], (Column("photo", "photo"),), as_json=True, empty="")
    assert json.loads(capsys.readouterr().out) == [{"photo": "a\ufffd.jpg"}]
