"""The picture files in a folder, without the files that systems and programs add."""

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

# : Folders of file servers, archives and systems, in lower case; their files are not photos of
# people.
_SYSTEM_FOLDERS: Final = frozenset(
    {
        "#recycle", "#snapshot", "$recycle.bin", "@eadir", "@recycle", "@recently-snapshot", "@tmp",
        "__macosx", "lost+found", "network trash folder", "recycler", "recycled",
        "system volume information", "temporary items",
    }
)  # fmt: skip
_SYSTEM_FILES: Final = frozenset(
    {"desktop.ini", "ehthumbs.db", "ehthumbs_vista.db", "iconcache.db", "icon\r", "picasa.ini",
     "thumbs.db"}
)  # fmt: skip
#: Of unfinished downloads, editors' locks and copies.
_UNFINISHED: Final = (".part", ".partial", ".crdownload", ".download", ".tmp", "~")

HIDDEN, SYSTEM, EMPTY, LINK, SPECIAL, UNFINISHED = (
    "hidden", "of the system", "empty", "links that lead nowhere or to folders", "no plain files",
    "unfinished",
)  # fmt: skip


@dataclass(slots=True)
class PictureFolder:
    """The content of a folder.

    Attributes:
        files: plain files that are not empty, sorted by path.
        skipped: how many files and folders were left out, by reason; a folder counts once.
    """

    files: list[Path] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def list_files(directory: Path) -> PictureFolder:
    """List a folder recursively.

    Hidden and system entries, empty files, links to folders, and what is no plain file are skipped
    and counted.

    Raises:
        OSError: a folder cannot be read.
    """
    listed = PictureFolder()
    for entry in _entries(directory, listed.skipped):
        reason = _why_not(entry)
        if reason is None:
            listed.files.append(Path(entry.path))
        else:
            listed.skipped[reason] += 1
    listed.files.sort()
    return listed


def skipped_text(skipped: Counter[str]) -> str:
    """One phrase for the user: ``skipped 3: 2 hidden, 1 empty``; empty when nothing was."""
    parts = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()) if count)
    return f"skipped {skipped.total()}: {parts}" if parts else ""


def skip_reason(name: str) -> str | None:
    """Why an entry with this name is skipped, whatever it is; None when it is not."""
    folded = name.casefold()
    if folded in _SYSTEM_FOLDERS or folded in _SYSTEM_FILES:
        return SYSTEM
    if name.startswith("."):
        return HIDDEN
    if folded.endswith(_UNFINISHED) or folded.startswith("~$"):
        return UNFINISHED
    return None


def _entries(directory: Path, skipped: Counter[str]) -> Iterator[os.DirEntry[str]]:
    """Every entry that is no folder, at any depth."""
    folders = [os.fspath(directory)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in _by_name(entries):
                if not entry.is_dir(follow_symlinks=False):
                    yield entry
                elif (reason := skip_reason(entry.name)) is not None:
                    skipped[reason] += 1
                else:
                    folders.append(entry.path)


def _by_name(entries: Iterable[os.DirEntry[str]]) -> list[os.DirEntry[str]]:
    return sorted(entries, key=lambda entry: entry.name)


def _why_not(entry: os.DirEntry[str]) -> str | None:
    """Why an entry that is no folder is skipped; None when it is a file to be looked at."""
    if (reason := skip_reason(entry.name)) is not None:
        return reason
    try:
        found = entry.stat()
    except OSError:
        return LINK  # to nothing, or in a circle
    if stat.S_ISDIR(found.st_mode):
        return LINK
    if not stat.S_ISREG(found.st_mode):
        return SPECIAL
    return None if found.st_size else EMPTY
