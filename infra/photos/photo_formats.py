"""Which files are photos that the pipeline takes, and which are pictures that it does not take."""

from pathlib import Path
from typing import Final

from domain.images.media_types import media_type

PHOTO_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})

_HEAD_BYTES: Final = 32

#: Formats of cameras, telephones and programs for pictures that are not taken, by suffix.
_OTHERS: Final = {
    ".heic": "HEIC", ".heif": "HEIF", ".hif": "HEIF", ".avif": "AVIF", ".jxl": "JPEG XL",
    ".jp2": "JPEG 2000", ".j2k": "JPEG 2000", ".tif": "TIFF", ".tiff": "TIFF", ".gif": "GIF",
    ".bmp": "BMP", ".ico": "ICO", ".svg": "SVG", ".psd": "PSD", ".eps": "EPS", ".pdf": "PDF",
    ".dng": "DNG (raw)", ".raw": "raw", ".cr2": "CR2 (raw)", ".cr3": "CR3 (raw)",
    ".nef": "NEF (raw)", ".arw": "ARW (raw)", ".orf": "ORF (raw)", ".rw2": "RW2 (raw)",
    ".raf": "RAF (raw)", ".pef": "PEF (raw)", ".srw": "SRW (raw)", ".mov": "video", ".mp4": "video",
    ".m4v": "video", ".avi": "video", ".mkv": "video", ".webm": "video", ".3gp": "video",
}  # fmt: skip

#: Brands of ISO base media files (ISO/IEC 14496-12, ISO/IEC 23008-12) that hold still pictures.
_BRANDS: Final = {
    b"heic": "HEIC", b"heix": "HEIC", b"heim": "HEIC", b"heis": "HEIC", b"hevc": "HEIC",
    b"mif1": "HEIF", b"msf1": "HEIF", b"avif": "AVIF", b"avis": "AVIF", b"crx ": "CR3 (raw)",
    b"jxl ": "JPEG XL",
}  # fmt: skip
_SIGNATURES: Final = (
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"8BPS", "PSD"),
)


def is_photo(path: Path) -> tuple[bool, str | None]:
    """Whether a file is sent as a photo, according to its first bytes and its suffix.

    Returns:
        Whether it is; and of a picture that is not taken, why. A file that is neither a photo nor
        another picture has no reason.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if media_type(head) is not None:
        return True, None
    suffix = path.suffix.casefold()
    name = _format_of(head, suffix)
    if name is not None:
        return False, f"{name} is not accepted; save it as JPEG, PNG or WebP"
    # Whether it is one all the same is found when it is decoded, with the reason if not.
    return suffix in PHOTO_SUFFIXES, None


def _format_of(head: bytes, suffix: str) -> str | None:
    if head[4:8] == b"ftyp" and head[8:12] in _BRANDS:
        return _BRANDS[head[8:12]]
    if suffix in PHOTO_SUFFIXES or suffix in _OTHERS:
        for signature, name in _SIGNATURES:
            if head.startswith(signature):
                return name
    return _OTHERS.get(suffix)
