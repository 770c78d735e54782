"""People as folders of photos: who is in them, and which address or external id names them.

A person is a folder, or several files with one name but for a number at its end. Whatever could
make one user of two people, or two of one, is an error before anything is enrolled.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from domain.names.email_addresses import BadAddressError, normal_address
from domain.names.person_names import BadNameError, name_key, name_looks, tidy_name
from domain.users.external_ids import BadExternalIdError, tidy_external_id
from infra.photos.camera_names import names_no_person, sorts_photos
from infra.photos.photo_files import list_files, skip_reason, skipped_text
from infra.photos.photo_formats import is_photo

#: Domain of addresses that are made up from names: never delivered to (RFC 2606).
DOMAIN = "example.com"

NO_PICTURE = "no pictures"

_NUMBER_AT_END = re.compile(r"[\s_.-]*(\d+|\(\d+\))$")
_HINT = "put the photos of each person into a folder that is named after the person"

#: Maximum length before the @ (RFC 5321), and of the digest in it.
_LONGEST_LOCAL = 64
_DIGEST_CHARACTERS = 8

#: Maximum errors that are reported for one directory; there may be thousands of the same kind.
_MOST_REPORTED = 5


class NoPeopleError(Exception):
    """The directory holds no photos, or does not say whose they are; nothing may be enrolled."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person to be enrolled.

    Attributes:
        email: names the user, unless an external id does.
        name: full name; None leaves it as it is.
        photos: image files that show only this person, at least one.
        former_emails: made from the name by earlier releases: such a user is the same one.
        external_id: names the user; then there need be no address.
    """

    email: str | None
    name: str | None
    photos: Sequence[Path]
    former_emails: tuple[str, ...] = ()
    external_id: str | None = None

    @property
    def label(self) -> str:
        """What to call the person."""
        return self.name or self.email or self.external_id or "user"

    @property
    def is_named_only(self) -> bool:
        """Whether the address was made from the name."""
        return self.name is not None and self.email == address_of(self.name)


@dataclass(frozen=True, slots=True)
class NotAccepted:
    """A picture that is not sent, or a person's folder without any that is.

    Attributes:
        path: the file or folder.
        reason: for people.
    """

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class PeopleFolder:
    """What a folder of people holds.

    Attributes:
        people: the people who have at least one accepted photo.
        not_accepted: pictures and people that are not accepted.
        skipped: the number of skipped files and folders, by reason.
    """

    people: list[Person]
    not_accepted: list[NotAccepted]
    skipped: Counter[str]

    @property
    def skipped_text(self) -> str:
        """One phrase about what was skipped; empty when nothing was."""
        return skipped_text(self.skipped)


@dataclass(slots=True)
class _Source:
    """The photos under one name."""

    spelled: str
    place: Path
    is_folder: bool
    photos: list[Path] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """What names the person: the folder, or each file."""
        return [self.place.name] if self.is_folder else [path.stem for path in self.photos]


def people_in(directory: Path, *, by_external_id: bool = False) -> PeopleFolder:
    """The people in a folder of photos.

    A person is a folder, or several files with one name but for a number at its end (``Ada
    Lovelace 1.jpg``, ``Ada Lovelace 2.jpg``). The name is an e-mail address, or else the full
    name, from which an address is made. Hidden and system files and folders are skipped.

    Args:
        directory: holds the folders.
        by_external_id: the names are ids of the application, and of folders alone: a number at the
            end of a file's name may belong to the id.

    Raises:
        NoPeopleError: there are no photos, no such directory, it cannot be read, or a name does not
            say who it is: two names that would be one user, one that holds invisible characters,
            one that a camera gave, folders below a person's folder.
    """
    if not directory.is_dir():
        raise NoPeopleError(f"there is no folder {directory}")
    try:
        listed = list_files(directory)
        photos, not_accepted = _photos_among(listed.files, listed.skipped)
        not_accepted += _without_photos(directory, photos, not_accepted)
    except OSError as error:
        raise NoPeopleError(f"cannot read {error.filename}: {error.strerror}") from error
    if not photos:
        reasons = "".join(f"; {one.path}: {one.reason}" for one in not_accepted[:_MOST_REPORTED])
        raise NoPeopleError(f"no JPEG, PNG or WebP photo in {directory}{reasons}")
    _require_no_people_below(photos, directory)
    sources = _sources_of(photos, directory)
    if by_external_id:
        people = _with_external_ids(sources)
    else:
        _require_names_of_people(sources)
        people = _named(sources)
    _require_one_user_each(people)
    return PeopleFolder([person for _, person in people], not_accepted, listed.skipped)


def person_named(name: str, photos: Sequence[Path]) -> Person:
    """A person who is known by an e-mail address or by name only.

    Raises:
        BadAddressError: it has an @ and is no address.
        BadNameError: it is no name.
    """
    if "@" in name:
        return Person(normal_address(name), None, photos)
    tidy = tidy_name(name)
    return Person(address_of(tidy), tidy, photos, _former_addresses(tidy))


def address_of(name: str) -> str:
    """A generated address for a name; all spellings of a name have the same address.

    Raises:
        BadNameError: it is no name.
    """
    tidy = tidy_name(name)
    return _address(tidy, name_key(tidy))


def _former_addresses(name: str) -> tuple[str, ...]:
    """What earlier releases made of the name, which kept the spelling's form and case."""
    forms = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    now = address_of(name)
    before = (_address(form, form, longest=320) for form in forms)
    return tuple(dict.fromkeys(address for address in before if address != now))


def _address(name: str, distinguished_by: str, longest: int = _LONGEST_LOCAL) -> str:
    letters = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    local = ".".join(re.findall("[a-z0-9]+", letters)) or "person"
    if not name.isascii() or len(local) > longest:
        # Names that lose letters in the conversion must not share an address.
        digest = hashlib.sha256(distinguished_by.encode()).hexdigest()[:_DIGEST_CHARACTERS]
        local = f"{local[: longest - _DIGEST_CHARACTERS - 1].rstrip('.')}.{digest}"
    return f"{local}@{DOMAIN}"


def _photos_among(
    files: Iterable[Path], skipped: Counter[str]
) -> tuple[list[Path], list[NotAccepted]]:
    """Those that are sent; pictures that are not, with the reason. The others are counted."""
    photos: list[Path] = []
    not_accepted: list[NotAccepted] = []
    for path in files:
        try:
            accepted, reason = is_photo(path)
        except OSError as error:
            accepted, reason = False, f"cannot be read: {error.strerror}"
        if accepted:
            photos.append(path)
        elif reason is not None:
            not_accepted.append(NotAccepted(path, reason))
        else:
            skipped[NO_PICTURE] += 1
    return photos, not_accepted


def _without_photos(
    directory: Path, photos: Sequence[Path], not_accepted: Sequence[NotAccepted]
) -> list[NotAccepted]:
    """People's folders that are not reported yet, because they are empty."""
    mentioned = {
        path.relative_to(directory).parts[0]
        for path in (*photos, *(one.path for one in not_accepted))
    }
    return [
        NotAccepted(path, "no photo in this folder")
        for path in sorted(directory.iterdir())
        if path.is_dir()
        and not path.is_symlink()
        and skip_reason(path.name) is None
        and path.name not in mentioned
    ]


def _require_no_people_below(photos: Iterable[Path], directory: Path) -> None:
    """Refuse photos in a folder below a person's, unless that one sorts them by date or camera.

    Raises:
        NoPeopleError: lists the folders.
    """
    parents = (path.relative_to(directory).parent for path in photos)
    nested = dict.fromkeys(
        parent.as_posix()
        for parent in parents
        if not all(sorts_photos(name) for name in parent.parts[1:])
    )
    if nested:
        raise NoPeopleError(
            f"{_listed(list(nested))}: photos in subfolders, which may be other people; put a "
            f"folder for each person directly into {directory}, and the photos of a person "
            "directly into it (subfolders named by a year, a date or a camera are accepted)"
        )


def _sources_of(photos: Iterable[Path], directory: Path) -> list[_Source]:
    """Photos by their folder, or by their name without a number at its end."""
    sources: dict[tuple[bool, str], _Source] = {}
    for path in photos:
        parts = path.relative_to(directory).parts
        is_folder = len(parts) > 1
        raw = parts[0] if is_folder else _NUMBER_AT_END.sub("", path.stem) or path.stem
        place = directory / parts[0]
        spelled = raw if "@" in raw else " ".join(raw.replace("_", " ").split())
        key = (is_folder, raw if is_folder else spelled)
        source = sources.setdefault(key, _Source(spelled, place, is_folder))
        source.photos.append(path)
    return list(sources.values())


def _require_names_of_people(sources: Iterable[_Source]) -> None:
    """Refuse what cameras and programs have named.

    Raises:
        NoPeopleError: names the files and folders.
    """
    bad = [
        source.place.name
        for source in sources
        if "@" not in source.spelled
        and any(names_no_person(name, is_folder=source.is_folder) for name in source.names)
    ]
    if bad:
        raise NoPeopleError(f"{_listed(bad)}: not the name of a person; {_HINT}")


def _named(sources: Iterable[_Source]) -> list[tuple[_Source, Person]]:
    """Who the sources are; a folder and files with the very same name are one person.

    Raises:
        NoPeopleError: a name is none.
    """
    found: dict[str, tuple[_Source, Person]] = {}
    people: list[tuple[_Source, Person]] = []
    for source in sources:
        try:
            person = person_named(source.spelled, source.photos)
        except (BadAddressError, BadNameError) as error:
            raise NoPeopleError(f"{_shown(source.place.name)}: {error}") from error
        same = found.get(source.spelled)
        if same is not None and same[0].is_folder != source.is_folder:
            same[0].photos += source.photos
            continue
        found[source.spelled] = (source, person)
        people.append((source, person))
    return people


def _with_external_ids(sources: Iterable[_Source]) -> list[tuple[_Source, Person]]:
    """Whose the folders are.

    Raises:
        NoPeopleError: a name is no external id, or a photo is in no folder.
    """
    people: list[tuple[_Source, Person]] = []
    for source in sources:
        name = source.place.name
        if not source.is_folder:
            raise NoPeopleError(f"{_shown(name)}: not in a folder that is named by an external id")
        try:
            external_id = tidy_external_id(name)
        except BadExternalIdError as error:
            raise NoPeopleError(f"{_shown(name)}: {error}") from error
        people.append((source, Person(None, None, source.photos, external_id=external_id)))
    return people


def _require_one_user_each(people: Sequence[tuple[_Source, Person]]) -> None:
    """Refuse names that would be one user, or that look the same.

    Raises:
        NoPeopleError: lists them.
    """
    owners: dict[str, set[str]] = {}
    for source, person in people:
        looks = name_looks(person.name) if person.name else ()
        for mark in {person.email or f"  {person.external_id}", *(f" {look}" for look in looks)}:
            owners.setdefault(mark, set()).add(source.place.name)
    pairs = {frozenset(names) for names in owners.values() if len(names) > 1}
    if pairs:
        reported = "; ".join(
            " and ".join(_shown(name) for name in sorted(pair))
            for pair in sorted(pairs, key=sorted)[:_MOST_REPORTED]
        )
        more = f" (and {len(pairs) - _MOST_REPORTED} more)" if len(pairs) > _MOST_REPORTED else ""
        raise NoPeopleError(
            f"the same user by their names: {reported}{more}; rename one of them, or put the "
            "photos of one person into one folder"
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_REPORTED} more" if len(names) > _MOST_REPORTED else ""
    return ", ".join(map(_shown, names[:_MOST_REPORTED])) + more


def _shown(name: str) -> str:
    """A name for a message: in quotes, with what cannot be seen by its number."""
    plain = unicodedata.normalize("NFC", name) == name and name.isprintable()
    return repr(name) if plain else f"{_printable(name)!r} ({name!a})"


def _printable(name: str) -> str:
    return "".join(character for character in name if character.isprintable())
