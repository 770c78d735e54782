"""Photos with labels: whose each one is, and which camera took it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from infra.photos.photo_files import list_files
from infra.photos.photo_formats import is_photo

#: How people are distinguished: by a folder, or by the beginning of the file's name.
PeopleBy = Literal["folder", "prefix"]

NO_PICTURE: Final = "no pictures"


class NoPhotosError(Exception):
    """A folder has no photos, or cannot be read; the message says which and why."""


@dataclass(frozen=True, slots=True)
class LabelledPhoto:
    """A photo, and whose it is.

    Attributes:
        path: the file.
        person: a label; the same for all photos of a person.
        camera: the folder below the person's, where the labels have one.
        is_unknown: it is from the folder of unknown people.
    """

    path: Path
    person: str
    camera: str | None
    is_unknown: bool


@dataclass(frozen=True, slots=True)
class LabelledFolder:
    """What a folder holds.

    Attributes:
        photos: sorted by path.
        not_accepted: pictures of formats that the product does not read, with the reason.
        skipped: number of other files, by reason.
    """

    photos: Sequence[LabelledPhoto]
    not_accepted: Sequence[tuple[Path, str]]
    skipped: Counter[str]


def labelled_photos(
    directory: Path, people_by: PeopleBy, *, unknown: bool = False
) -> LabelledFolder:
    """The photos of a folder with their labels.

    Args:
        directory: with ``folder``, its folders are the people, a folder in a person's folder is a
            camera, and each file directly in it is a person of its own. With ``prefix``, the
            people are those whose photos share a folder and the part of the name before the first
            underscore.
        people_by: one of these two.
        unknown: the people in it are not enrolled.

    Raises:
        NoPhotosError: there is no photo, or a folder cannot be read.
    """
    if not directory.is_dir():
        raise NoPhotosError(f"there is no folder {directory}")
    try:
        listed = list_files(directory)
        accepted = list(_accepted(listed.files))
    except OSError as error:
        raise NoPhotosError(f"cannot read {error.filename}: {error.strerror}") from error
    photos = [
        _labelled(path, directory, people_by, unknown=unknown)
        for path, taken, _ in accepted
        if taken
    ]
    not_accepted = [(path, why) for path, taken, why in accepted if not taken and why is not None]
    others = sum(not taken and why is None for _, taken, why in accepted)
    if not photos:
        reasons = "".join(f"; {path}: {why}" for path, why in not_accepted[:3])
        raise NoPhotosError(f"no JPEG, PNG or WebP photo in {directory}{reasons}")
    return LabelledFolder(
        photos, not_accepted, listed.skipped + Counter({NO_PICTURE: others} if others else {})
    )


def _accepted(files: Sequence[Path]) -> Iterator[tuple[Path, bool, str | None]]:
    for path in files:
        try:
            yield path, *is_photo(path)
        except OSError as error:
            yield path, False, f"cannot be read: {error.strerror}"


def _labelled(path: Path, directory: Path, people_by: PeopleBy, *, unknown: bool) -> LabelledPhoto:
    *folders, name = path.relative_to(directory).parts
    if people_by == "prefix":
        person = "/".join([*folders, name.rpartition(".")[0].partition("_")[0]])
        return LabelledPhoto(path, person, None, unknown)
    person = folders[0] if folders else name
    return LabelledPhoto(path, person, "/".join(folders[1:]) or None, unknown)
