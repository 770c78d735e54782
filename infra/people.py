"""People as folders of photos: who is in them, and which e-mail address names them."""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})

#: Domain of addresses that are made up from names: never delivered to (RFC 2606).
DOMAIN = "example.com"

_NUMBER_AT_END = re.compile(r"[\s_.-]*\d+$")


class NoPeopleError(Exception):
    """The directory holds no photos."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to be enrolled.

    Attributes:
        email: names the user.
        name: full name; None leaves it as it is.
        photos: image files that show nobody else, at least one.
    """

    email: str
    name: str | None
    photos: Sequence[Path]

    @property
    def label(self) -> str:
        """What to call the person."""
        return self.name or self.email


def people_in(directory: Path) -> list[Person]:
    """The people in a folder of photos.

    A person is a folder, or several files with one name but for a number at its end (``Ada
    Lovelace 1.jpg``, ``Ada Lovelace 2.jpg``). The name is an e-mail address, or else the full
    name, from which an address is made.

    Raises:
        NoPeopleError: there are no photos, or no such directory.
    """
    if not directory.is_dir():
        raise NoPeopleError(f"there is no folder {directory}")
    by_name: dict[str, list[Path]] = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.suffix.lower() in PHOTO_SUFFIXES:
            by_name.setdefault(_name_of(path, directory), []).append(path)
    if not by_name:
        raise NoPeopleError(f"no JPEG, PNG or WebP photo in {directory}")
    return [person_named(name, photos) for name, photos in by_name.items()]


def person_named(name: str, photos: Sequence[Path]) -> Person:
    """A person who is known by an e-mail address or by name only."""
    return Person(name, None, photos) if "@" in name else Person(address_of(name), name, photos)


def address_of(name: str) -> str:
    """A stand-in address for a name; one name has one address."""
    letters = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    local = ".".join(re.findall("[a-z0-9]+", letters)) or "person"
    if not name.isascii():
        # Names that lose letters on the way to ASCII must not share an address.
        local += "." + hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{local}@{DOMAIN}"


def _name_of(path: Path, root: Path) -> str:
    """The person's folder, or else the file's name without a number at its end."""
    inner = path.relative_to(root)
    name = inner.parts[0] if len(inner.parts) > 1 else _NUMBER_AT_END.sub("", path.stem)
    return " ".join((name or path.stem).replace("_", " ").split()) if "@" not in name else name
