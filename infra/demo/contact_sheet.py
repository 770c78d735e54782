"""A contact sheet: who was seen, in one picture."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import cv2
import numpy as np

from infra.demo.drawing import (
    Colour,
    Lettering,
    Picture,
    fitted,
    person_colour,
    put_plate,
    put_text,
    text_width,
)

#: Width of a sheet in pixels.
SHEET_WIDTH = 1600
#: At most so many frames and people are drawn; the sheet says how many more there are.
MAX_FRAMES = 48
MAX_PEOPLE = 24

_MARGIN = 36
_GAP = 14
_ROW_HEIGHT = 270
_CARD_HEIGHT = 112
_MIN_CARDS_PER_ROW, _CARDS_PER_ROW = 3, 4
_MIN_ASPECT, _MAX_ASPECT = 0.5, 3.0

_TITLE = Lettering(40, bold=True)
_SUBTITLE = Lettering(20)
_CARD_NAME = Lettering(23, bold=True)
_CARD_LINE = Lettering(17)
_FACE_KNOWN = Lettering(17, bold=True)
_FACE_UNKNOWN = Lettering(14, bold=True)
_CAPTION = Lettering(15)

_BACKGROUND: Colour = (28, 23, 20)
_PANEL: Colour = (46, 39, 34)
_WHITE: Colour = (245, 243, 240)
_MUTED: Colour = (170, 160, 150)
_DARK: Colour = (24, 20, 18)
_UNKNOWN: Colour = (200, 198, 194)


@dataclass(frozen=True, slots=True)
class SheetFace:
    """A face on a frame.

    Attributes:
        box: x, y, width, height in pixels of the frame.
        name: who it is; None for an unknown.
        similarity: cosine to the person's template; None when there is none.
    """

    box: tuple[float, float, float, float]
    name: str | None
    similarity: float | None


@dataclass(frozen=True, slots=True)
class SheetFrame:
    """A frame with its faces.

    Attributes:
        picture: BGR, uint8, (height, width, 3), upright.
        camera: the camera's id.
        captured_at: when it was taken.
        faces: what was found on it.
    """

    picture: Picture
    camera: str
    captured_at: datetime
    faces: Sequence[SheetFace] = ()


@dataclass(frozen=True, slots=True)
class SheetPerson:
    """A person's card at the top of the sheet.

    Attributes:
        name: as in `SheetFace`; None for the card of all unknowns.
        portrait: BGR crop of the face; None draws the card without.
        lines: up to two lines below the name.
    """

    name: str | None
    portrait: Picture | None = None
    lines: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ContactSheet:
    """What is to be drawn.

    Attributes:
        title: headline.
        subtitle: one line below it.
        people: cards; their order gives the colours.
        frames: in the order of the grid.
    """

    title: str
    subtitle: str = ""
    people: Sequence[SheetPerson] = ()
    frames: Sequence[SheetFrame] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class _Tile:
    frame: SheetFrame
    x: int
    y: int
    width: int
    height: int


def draw(sheet: ContactSheet) -> Picture:
    """Draw the sheet: BGR, `SHEET_WIDTH` wide, as high as its content needs."""
    people, frames = sheet.people[:MAX_PEOPLE], sheet.frames[:MAX_FRAMES]
    card_rows = -(-len(people) // _CARDS_PER_ROW)
    header = 116
    grid_top = header + card_rows * (_CARD_HEIGHT + _GAP) + (_GAP if card_rows else 0)
    tiles = _layout(frames, grid_top)
    grid_bottom = max((tile.y + tile.height for tile in tiles), default=grid_top)
    more = len(sheet.frames) - len(frames)
    height = grid_bottom + (52 if more else _MARGIN)
    canvas: Picture = np.full((height, SHEET_WIDTH, 3), _BACKGROUND, np.uint8)

    colours = _colours(sheet)
    _draw_header(canvas, sheet)
    for index in range(len(people)):
        _draw_card(canvas, sheet, index, header, colours)
    for tile in tiles:
        _draw_tile(canvas, tile, colours)
    if more:
        note = f"and {more} more frame{'s' if more > 1 else ''}"
        put_text(canvas, note, (_MARGIN, height - 20), _CARD_LINE, _MUTED)
    return canvas


def render_png(sheet: ContactSheet) -> bytes:
    """Draw the sheet and encode it as PNG.

    Raises:
        ValueError: OpenCV cannot encode it.
    """
    done, data = cv2.imencode(".png", draw(sheet), [cv2.IMWRITE_PNG_COMPRESSION, 7])
    if not done:
        raise ValueError("the contact sheet could not be encoded as PNG")
    return data.tobytes()


def _colours(sheet: ContactSheet) -> dict[str, Colour]:
    """One colour a name: first those with cards, then the others in order of appearance."""
    names: Iterable[str | None] = (
        *(person.name for person in sheet.people),
        *(face.name for frame in sheet.frames for face in frame.faces),
    )
    known = dict.fromkeys(name for name in names if name is not None)
    return {name: person_colour(index) for index, name in enumerate(known)}


def _layout(frames: Sequence[SheetFrame], top: int) -> list[_Tile]:
    """Rows of one height each, filled to the margin, every frame in its own proportions."""
    inner = SHEET_WIDTH - 2 * _MARGIN
    tiles: list[_Tile] = []
    row: list[SheetFrame] = []
    y = top
    for index, frame in enumerate(frames):
        row.append(frame)
        total = sum(_aspect(member) for member in row)
        available = inner - _GAP * (len(row) - 1)
        full = total * _ROW_HEIGHT >= available
        if not full and index < len(frames) - 1:
            continue
        # An unfilled last row keeps the usual height instead of blowing its frames up.
        height = round(available / total) if full else _ROW_HEIGHT
        x = _MARGIN
        for position, member in enumerate(row, start=1):
            is_last = full and position == len(row)
            width = SHEET_WIDTH - _MARGIN - x if is_last else round(_aspect(member) * height)
            tiles.append(_Tile(member, x, y, width, height))
            x += width + _GAP
        y += height + _GAP
        row = []
    return tiles


def _aspect(frame: SheetFrame) -> float:
    height, width = frame.picture.shape[:2]
    aspect: float = width / max(height, 1)
    return min(max(aspect, _MIN_ASPECT), _MAX_ASPECT)


def _draw_header(canvas: Picture, sheet: ContactSheet) -> None:
    inner = SHEET_WIDTH - 2 * _MARGIN
    put_text(canvas, fitted(sheet.title, _TITLE, inner), (_MARGIN, 60), _TITLE, _WHITE)
    subtitle = fitted(sheet.subtitle, _SUBTITLE, inner)
    put_text(canvas, subtitle, (_MARGIN, 92), _SUBTITLE, _MUTED)


def _draw_card(
    canvas: Picture, sheet: ContactSheet, index: int, top: int, colours: dict[str, Colour]
) -> None:
    columns = min(_CARDS_PER_ROW, max(_MIN_CARDS_PER_ROW, len(sheet.people)))
    row, column = divmod(index, columns)
    width = (SHEET_WIDTH - 2 * _MARGIN - _GAP * (columns - 1)) // columns
    person = sheet.people[index]
    x = _MARGIN + column * (width + _GAP)
    y = top + row * (_CARD_HEIGHT + _GAP)
    colour = colours[person.name] if person.name is not None else _UNKNOWN
    put_plate(canvas, (x, y, width, _CARD_HEIGHT), colour, radius=12)
    put_plate(canvas, (x + 6, y, width - 6, _CARD_HEIGHT), _PANEL, radius=12)
    text_x = x + 24
    if person.portrait is not None and person.portrait.size:
        side = _CARD_HEIGHT - 20
        _paste(canvas, _cover(person.portrait, side, side), x + 16, y + 10)
        text_x = x + 16 + side + 16
    room = x + width - text_x - 12
    name = fitted("unknown" if person.name is None else person.name, _CARD_NAME, room)
    put_text(canvas, name, (text_x, y + 40), _CARD_NAME, colour)
    for number, line in enumerate(person.lines[:2]):
        text = fitted(line, _CARD_LINE, room)
        put_text(canvas, text, (text_x, y + 66 + 24 * number), _CARD_LINE, _MUTED)


def _draw_tile(canvas: Picture, tile: _Tile, colours: dict[str, Colour]) -> None:
    source_height, source_width = tile.frame.picture.shape[:2]
    scale = min(tile.width / source_width, tile.height / source_height)
    width, height = max(1, round(source_width * scale)), max(1, round(source_height * scale))
    # One pixel of rounding is not worth a black edge.
    width = tile.width if abs(width - tile.width) <= 2 else width  # noqa: PLR2004
    height = tile.height if abs(height - tile.height) <= 2 else height  # noqa: PLR2004
    left, top = (tile.width - width) // 2, (tile.height - height) // 2

    view: Picture = np.zeros((tile.height, tile.width, 3), np.uint8)
    _paste(view, _resized(tile.frame.picture, width, height), left, top)
    # Unknown faces first: a plate with a name is never hidden by one without.
    for face in sorted(tile.frame.faces, key=lambda face: face.name is not None):
        x, y, box_width, box_height = face.box
        _draw_face(
            view,
            (
                round(left + x * width / source_width),
                round(top + y * height / source_height),
                max(1, round(box_width * width / source_width)),
                max(1, round(box_height * height / source_height)),
            ),
            face,
            _UNKNOWN if face.name is None else colours[face.name],
        )
    _draw_caption(view, tile.frame)
    _paste(canvas, view, tile.x, tile.y)


def _draw_face(
    view: Picture, box: tuple[int, int, int, int], face: SheetFace, colour: Colour
) -> None:
    x, y, width, height = box
    corner = (x + width, y + height)
    cv2.rectangle(view, (x, y), corner, colour, 2, cv2.LINE_AA)

    score = "" if face.similarity is None else f"{face.similarity:.2f}"
    lettering = _FACE_UNKNOWN if face.name is None else _FACE_KNOWN
    room = view.shape[1] - 16 - text_width(f" {score}", lettering)
    name = fitted("unknown" if face.name is None else face.name, lettering, room)
    label = f"{name} {score}".strip()
    plate_width, plate_height = text_width(label, lettering) + 12, lettering.size + 9
    # Above the box; below it where there is no room; always inside the picture.
    plate_y = y - plate_height - 2
    if plate_y < 0:
        plate_y = y + height + 3
    plate_y = min(max(plate_y, 0), max(0, view.shape[0] - plate_height))
    plate_x = min(max(x - 1, 0), max(0, view.shape[1] - plate_width))
    put_plate(view, (plate_x, plate_y, plate_width, plate_height), colour, radius=5)
    baseline = (plate_x + 6, plate_y + plate_height - 8)
    put_text(view, label, baseline, lettering, _DARK)


def _draw_caption(view: Picture, frame: SheetFrame) -> None:
    """Camera and time in the lower left corner."""
    time = frame.captured_at.astimezone().strftime("%H:%M:%S")
    text = fitted(f"{frame.camera}  {time}", _CAPTION, view.shape[1] - 32)
    if not text:
        return
    height = view.shape[0]
    plate = (8, height - 32, text_width(text, _CAPTION) + 16, 24)
    put_plate(view, plate, _DARK, radius=5, opacity=0.72)
    put_text(view, text, (16, height - 15), _CAPTION, _WHITE)


def _resized(picture: Picture, width: int, height: int) -> Picture:
    shrinks = width < picture.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method), np.uint8)


def _cover(picture: Picture, width: int, height: int) -> Picture:
    """The middle of the picture, scaled to fill so many pixels."""
    scale = max(width / picture.shape[1], height / picture.shape[0])
    scaled = _resized(
        picture,
        max(width, round(picture.shape[1] * scale)),
        max(height, round(picture.shape[0] * scale)),
    )
    x, y = (scaled.shape[1] - width) // 2, (scaled.shape[0] - height) // 2
    return scaled[y : y + height, x : x + width]


def _paste(canvas: Picture, picture: Picture, x: int, y: int) -> None:
    canvas[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
