"""Names that cameras, telephones and programs give to pictures and folders: of no person."""

import re
from typing import Final

#: What such names begin with, whatever follows.
_WORDS: Final = frozenset(
    {
        "aufnahme", "bild", "bildschirmfoto", "bilder", "camera", "capture", "cimg", "crop",
        "cropped", "dcim", "download", "downloads", "dsc", "dscc", "dscf", "dscn", "face", "faces",
        "foto", "fotos", "frame", "gopr", "hpim", "id", "imag", "image", "images", "img", "imgp",
        "mvimg", "participant", "person", "photo", "photos", "pic", "pics", "pict", "picture",
        "pictures", "portrait", "pxl", "received", "scan", "screen", "screenshot", "screenshots",
        "selfie", "snapshot", "subject", "unbenannt", "unnamed", "untitled", "video", "webcam",
        "whatsapp",
    }
)  # fmt: skip

#: Folders of telephones and programs for all pictures, a number at the end left out.
_FOLDERS: Final = frozenset(
    {
        "bilder", "camera", "camera roll", "dcim", "download", "downloads", "fotos", "image",
        "images", "img", "my pictures", "neuer ordner", "new folder", "photo", "photos", "picture",
        "pictures", "saved pictures", "screenshot", "screenshots", "unnamed", "untitled",
        "untitled folder", "whatsapp", "whatsapp images",
    }
)  # fmt: skip

#: Words that may also be a person's name; with a number of four digits or more they are a camera's.
_WITH_NUMBERS: Final = frozenset(
    {"b", "c", "cam", "dji", "e", "fb", "gp", "kic", "l", "mg", "p", "sam", "sany", "signal", "sta",
     "vid", "wp", "telegram", "viber", "insta", "instagram", "facebook"}
)  # fmt: skip

_LETTERS: Final = re.compile(r"[^\W\d_]+")
_LONG_NUMBER: Final = re.compile(r"\d{4}")
_HASH: Final = re.compile(r"(?=.*\d)[0-9a-f]{8}[0-9a-f-]*|(?=.*\d)[0-9a-f-]{12,}", re.IGNORECASE)
_DATE: Final = re.compile(r"(19|20)\d\d[-_. ]?(0[1-9]|1[0-2])([-_. ]?([0-2]\d|3[01]))?([-_. T].*)?")
_YEAR: Final = re.compile(r"(19|20)\d\d")
#: Folders of the Design rule for Camera File system (DCF, JEITA CP-3461): 100CANON, 101MSDCF.
_DCF_FOLDER: Final = re.compile(r"[1-9]\d\d[A-Z_]{5}")


def names_no_person(name: str, *, is_folder: bool) -> bool:
    """Whether a name is a camera's, a program's or a date.

    One rule for files and folders, but for bare numbers and identifiers such as UUIDs: cameras
    number files, while a folder may be named after the number of a person.

    Args:
        name: of a folder, or of a file without its suffix.
        is_folder: whether it is a folder's.
    """
    words = [word.casefold() for word in _LETTERS.findall(name)]
    if _DATE.fullmatch(name) or _DCF_FOLDER.fullmatch(name):
        return True
    if not words or _HASH.fullmatch(name):
        return not is_folder
    if _DATE.match(name) or " ".join(words) in _FOLDERS:
        return True
    return words[0] in _WORDS or (
        words[0] in _WITH_NUMBERS and _LONG_NUMBER.search(name) is not None
    )


def sorts_photos(name: str) -> bool:
    """Whether a folder's name is plainly no person's, but a year, a date or a camera's folder.

    Stricter than `names_no_person`: several people may be numbered, too (``001``, ``person_1``).
    """
    if _LETTERS.search(name) is None:
        return _YEAR.fullmatch(name) is not None or _DATE.fullmatch(name) is not None
    return _DCF_FOLDER.fullmatch(name) is not None or name.casefold() in _FOLDERS
