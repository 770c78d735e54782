"""Folders as people and machines leave them: what is looked at, and what is skipped."""

import os
from pathlib import Path

import pytest

from infra.cameras.sources import PictureSource, SourceError
from infra.photos.photo_files import list_files, skipped_text
from tests.unit.test_publishing_sources import picture

SKIPPED = {
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg": "of the system",
    "__MACOSX/._a.jpg": "of the system",
    "#recycle/a.jpg": "of the system",
    "$RECYCLE.BIN/a.jpg": "of the system",
    "lost+found/a.jpg": "of the system",
    "System Volume Information/a.jpg": "of the system",
    "Thumbs.db": "of the system",
    "Desktop.ini": "of the system",
    ".DS_Store": "hidden",
    "._a.jpg": "hidden",
    ".thumbnails/a.jpg": "hidden",
    "b.jpg.part": "unfinished",
    "~$a.jpg": "unfinished",
}


def write(folder: Path, name: str, content: bytes = b"x") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("name", "reason"), SKIPPED.items())
def test_field_07_hidden_and_system_files_are_skipped_and_counted(tmp_path, name, reason):
    kept = write(tmp_path, "ada/a.jpg")
    write(tmp_path, name)
    write(tmp_path, f"ada/{name}")
    listed = list_files(tmp_path)
    assert listed.files == [kept]
    assert listed.skipped == {reason: 2}
    assert skipped_text(listed.skipped) == f"skipped 2: 2 {reason}"


def test_field_07_empty_files_links_and_special_files_are_skipped(tmp_path):
    kept = write(tmp_path, "ada/a.jpg")
    write(tmp_path, "ada/empty.jpg", b"")
    (tmp_path / "to-a-file.jpg").symlink_to(kept)
    (tmp_path / "ada" / "round").symlink_to(tmp_path)
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    (tmp_path / "gone.jpg").symlink_to("not-there.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    listed = list_files(tmp_path)
    assert listed.files == [kept, tmp_path / "to-a-file.jpg"]
    assert sorted(listed.skipped.values()) == [1, 1, 3]
    assert listed.skipped.total() == 5


def test_a_hidden_folder_that_is_named_is_looked_into(tmp_path):
    kept = write(tmp_path, ".people/ada/a.jpg")
    assert list_files(tmp_path / ".people").files == [kept]


def test_field_21_a_published_folder_sends_no_hidden_files(tmp_path):
    write(tmp_path, "a.jpg", picture(1))
    for name in SKIPPED:
        write(tmp_path, name, picture(2))
    source = PictureSource(tmp_path, "door")
    assert len(list(source.frames())) == 1
    assert source.counts.skipped == len(SKIPPED)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_an_error(tmp_path):
    write(tmp_path, "a/b.jpg")
    (tmp_path / "a").chmod(0)
    try:
        with pytest.raises(SourceError, match="cannot read"):
            list(PictureSource(tmp_path, "door").frames())
    finally:
        (tmp_path / "a").chmod(0o755)
