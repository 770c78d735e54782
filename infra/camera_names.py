"""Names that cameras, telephones and programs give to pictures and folders: they name nobody."""

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
        "selfie", "snapshot", "subject", "unbenannt", "unnamed", "untitled", "vid", "video",
        "webcam", "whatsapp",
    }
)  # fmt: skip

#: Folders of telephones and programs for pictures of everybody, a number at the end left out.
_FOLDERS: Final = frozenset(
    {
        "bilder", "camera", "camera roll", "dcim", "download", "downloads", "fotos", "image",
        "images", "img", "my pictures", "neuer ordner", "new folder", "photo", "photos", "picture",
        "pictures", "saved pictures", "screenshot", "screenshots", "unnamed", "untitled",
        "untitled folder", "whatsapp", "whatsapp images",
    }
)  # fmt: skip

#: What may be somebody's name, too, and is a camera's with a number of four digits or more.
_WITH_NUMBERS: Final = frozenset(
    {"b", "c", "cam", "dji", "e", "fb", "gp", "kic", "l", "mg", "p", "sam", "sany", "signal", "sta",
     "wp", "telegram", "viber", "insta", "instagram", "facebook"}
)  # fmt: skip

_LETTERS: Final = re.compile(r"[^\W\d_]+")
_LONG_NUMBER: Final = re.compile(r"\d{4}")
_HASH: Final = re.compile(r"(?=.*\d)[0-9a-f]{8}[0-9a-f-]*|(?=.*\d)[0-9a-f-]{12,}", re.IGNORECASE)
_DATE: Final = re.compile(r"(19|20)\d\d[-_. ]?(0[1-9]|1[0-2])([-_. ]?([0-2]\d|3[01]))?([-_. T].*)?")
#: Folders of the Design rule for Camera File system (DCF, JEITA CP-3461): 100CANON, 101MSDCF.
_DCF_FOLDER: Final = re.compile(r"[1-9]\d\d[A-Z_]{5}")


def names_no_file(stem: str) -> bool:
    """Whether a file's name, without its suffix, is a camera's or a number, and names no person."""
    words = [word.casefold() for word in _LETTERS.findall(stem)]
    if not words or _HASH.fullmatch(stem) or _DATE.match(stem):
        return True
    return words[0] in _WORDS or (
        words[0] in _WITH_NUMBERS and _LONG_NUMBER.search(stem) is not None
    )


def names_no_folder(name: str) -> bool:
    """Whether a folder's name is a camera's, a program's or a date. A number may be a person's."""
    if _DCF_FOLDER.fullmatch(name) or _DATE.fullmatch(name):
        return True
    return " ".join(_LETTERS.findall(name)).casefold() in _FOLDERS
