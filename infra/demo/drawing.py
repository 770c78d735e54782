"""Text, plates and colours on pictures.

Text is drawn with the scalable fonts inside OpenCV 5: Latin, Greek, Cyrillic, Hebrew, Arabic,
Chinese, Japanese and Korean, with no further package. What they lack is replaced, see `drawable`.
"""

import colorsys
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

_REGULAR = 400
_BOLD = 650

#: Replaces a character that no font here has.
MISSING_GLYPH = "·"


@dataclass(frozen=True, slots=True)
class Lettering:
    """How a text is set.

    Attributes:
        size: of the font, in pixels.
        bold: heavier strokes.
    """

    size: int
    bold: bool = False

    @property
    def weight(self) -> int:
        """OpenCV's font weight, 100 to 1000."""
        return _BOLD if self.bold else _REGULAR


#: Apart from each other also for most colour-blind readers; after Okabe and Ito, "Color Universal
#: Design" (2008), lightened for a dark ground. BGR.
_PALETTE: tuple[Colour, ...] = (
    (249, 190, 96),
    (70, 175, 255),
    (150, 214, 88),
    (196, 145, 240),
    (110, 236, 245),
    (112, 128, 250),
    (214, 214, 96),
)
_GOLDEN_RATIO = 0.618033988749895
_PROBE_SIZE = 24


def person_colour(index: int) -> Colour:
    """Colour of the index-th person, BGR; the first few are as far apart as can be."""
    if index < len(_PALETTE):
        return _PALETTE[index]
    red, green, blue = colorsys.hsv_to_rgb((index * _GOLDEN_RATIO) % 1.0, 0.55, 0.95)
    return round(blue * 255), round(green * 255), round(red * 255)


def drawable(text: str) -> str:
    """The text in characters that the fonts have.

    Composed where that exists; without control characters, emoji and marks that do not print; a
    letter that is missing is replaced by its base letter or by a middle dot.
    """
    composed = unicodedata.normalize("NFC", text)
    kept = "".join(_replacement(character) for character in composed)
    return " ".join(kept.split())


def text_width(text: str, lettering: Lettering) -> int:
    """Width in pixels of a text that went through `drawable`."""
    if not text:
        return 0
    _, _, width, _ = cv2.getTextSize(
        (0, 0), text, (0, 0), _font(), lettering.size, lettering.weight
    )
    return int(width)


def fitted(text: str, lettering: Lettering, width: int) -> str:
    """The drawable text, shortened with an ellipsis to at most so many pixels; may be empty."""
    whole = drawable(text)
    if text_width(whole, lettering) <= width:
        return whole
    shortest, longest = 0, len(whole)
    while shortest < longest:
        middle = (shortest + longest + 1) // 2
        if text_width(whole[:middle].rstrip() + "…", lettering) <= width:
            shortest = middle
        else:
            longest = middle - 1
    return whole[:shortest].rstrip() + "…" if shortest else ""


def put_text(
    picture: Picture, text: str, position: tuple[int, int], lettering: Lettering, colour: Colour
) -> None:
    """Draw a text that went through `fitted` or `drawable`; position is the baseline's left."""
    if text:
        cv2.putText(picture, text, position, colour, _font(), lettering.size, lettering.weight)


def put_plate(
    picture: Picture,
    box: tuple[int, int, int, int],
    colour: Colour,
    *,
    radius: int = 6,
    opacity: float = 1.0,
) -> None:
    """Fill a rectangle (x, y, width, height) with round corners; parts outside are cut off."""
    x, y, width, height = box
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + width, picture.shape[1]), min(y + height, picture.shape[0])
    if right <= left or bottom <= top:
        return
    region = picture[top:bottom, left:right]
    mask = np.zeros(region.shape[:2], np.uint8)
    radius = min(radius, width // 2, height // 2)
    x, y = x - left, y - top
    for start, end in (
        ((x + radius, y), (x + width - radius - 1, y + height - 1)),
        ((x, y + radius), (x + width - 1, y + height - radius - 1)),
    ):
        cv2.rectangle(mask, start, end, 255, cv2.FILLED)
    for centre_x in (x + radius, x + width - radius - 1):
        for centre_y in (y + radius, y + height - radius - 1):
            cv2.circle(mask, (centre_x, centre_y), radius, 255, cv2.FILLED, cv2.LINE_AA)
    alpha = (mask.astype(np.float32) * (opacity / 255))[:, :, None]
    blended = region * (1 - alpha) + np.array(colour, np.float32) * alpha
    region[:] = np.rint(blended).astype(np.uint8)


@lru_cache(maxsize=1)
def _font() -> cv2.FontFace:
    return cv2.FontFace("sans")


@lru_cache(maxsize=4096)
def _replacement(character: str) -> str:
    if character.isspace():
        return " "
    if character.isascii():
        return character if character.isprintable() else ""
    if unicodedata.category(character) in {"So", "Sk", "Cc", "Cf", "Cs", "Co", "Cn", "Mn", "Me"}:
        return ""
    if _has_glyph(character):
        return character
    base = unicodedata.normalize("NFKD", character)[0]
    return base if base != character and _has_glyph(base) else MISSING_GLYPH


def _has_glyph(character: str) -> bool:
    """Whether the font draws the character as anything but its question mark for missing ones."""
    return bool((_probe(character) != _probe("?")).any())


@lru_cache(maxsize=4096)
def _probe(character: str) -> Picture:
    canvas = np.zeros((2 * _PROBE_SIZE, 3 * _PROBE_SIZE, 3), np.uint8)
    origin = (_PROBE_SIZE, int(1.5 * _PROBE_SIZE))
    cv2.putText(canvas, character, origin, (255, 255, 255), _font(), _PROBE_SIZE, _REGULAR)
    return canvas
