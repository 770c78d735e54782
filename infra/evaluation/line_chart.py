"""Line charts as PNG, with bands for intervals, drawn by Pillow: no plotting library is needed."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT = 900, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 30, 60, 80
_OVERSAMPLED = 2
_TEXT = 17
_INK, _PALE, _GRID = (33, 37, 41), (108, 117, 125), (222, 226, 230)
#: Apart from each other also for most colour-blind readers (Okabe and Ito, "Color Universal
#: Design", 2008).
_COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233))
_BAND = 60
_TICKS = 5

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """A line with a band around it.

    Attributes:
        name: in the legend.
        xs: in rising order, at least one.
        ys: as many.
        low: lower end of the band; empty: no band.
        high: upper end.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis.

    Attributes:
        title: what is on it, with its unit.
        low: its least value; more than 0 if logarithmic.
        high: its highest value, more than that.
        logarithmic: in powers of ten.
    """

    title: str
    low: float
    high: float
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Where a value is, 0 to 1; beyond an end, at the end."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = log10(low), log10(high), log10(max(value, self.low))
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def ticks(self) -> list[float]:
        """Values to be labelled."""
        if not self.logarithmic:
            step = (self.high - self.low) / _TICKS
            return [self.low + number * step for number in range(_TICKS + 1)]
        powers = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
        few = len(powers) <= 3  # noqa: PLR2004 - otherwise powers of ten are enough
        steps = (1, 2, 5) if few else (1,)
        values = [step * 10.0**power for power in powers for step in steps]
        return [one for one in values if self.low * 0.999 <= one <= self.high * 1.001]


def draw_chart(title: str, x: Axis, y: Axis, lines: Sequence[Line]) -> bytes:
    """Draw a chart.

    Args:
        title: above it.
        x: horizontal axis.
        y: vertical axis.
        lines: at most five.

    Returns:
        A PNG file.
    """
    size = (_WIDTH * _OVERSAMPLED, _HEIGHT * _OVERSAMPLED)
    picture = Image.new("RGB", size, (255, 255, 255))
    draw = ImageDraw.Draw(picture, "RGBA")
    font = ImageFont.load_default(_TEXT * _OVERSAMPLED)
    _draw_axes(draw, font, title, x, y)
    for line, colour in zip(lines, _COLOURS, strict=False):
        if line.low:
            edge = [*zip(line.xs, line.high, strict=True)]
            edge += reversed([*zip(line.xs, line.low, strict=True)])
            draw.polygon([_place(point, x, y) for point in edge], (*colour, _BAND))
        places = [_place(point, x, y) for point in zip(line.xs, line.ys, strict=True)]
        if len(places) > 1:
            draw.line(places, colour, 3 * _OVERSAMPLED, joint="curve")
        else:
            draw.circle(places[0], 5 * _OVERSAMPLED, colour)
    _draw_legend(draw, font, lines)
    encoded = io.BytesIO()
    smooth = picture.resize((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS)
    smooth.save(encoded, "PNG", optimize=True)
    return encoded.getvalue()


def _place(point: Point, x: Axis, y: Axis) -> Point:
    across = _LEFT + x.share(point[0]) * (_WIDTH - _LEFT - _RIGHT)
    down = _HEIGHT - _BOTTOM - y.share(point[1]) * (_HEIGHT - _TOP - _BOTTOM)
    return across * _OVERSAMPLED, down * _OVERSAMPLED


def _draw_axes(
    draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, title: str,
    x: Axis, y: Axis,
) -> None:  # fmt: skip
    scale = _OVERSAMPLED
    draw.text((_LEFT * scale, 16 * scale), title, _INK, font)
    for value in x.ticks():
        top, bottom = _place((value, y.high), x, y), _place((value, y.low), x, y)
        draw.line([top, bottom], _GRID, scale)
        draw.text((bottom[0], bottom[1] + 8 * scale), _label(value), _PALE, font, anchor="ma")
    for value in y.ticks():
        left, right = _place((x.low, value), x, y), _place((x.high, value), x, y)
        draw.line([left, right], _GRID, scale)
        draw.text((left[0] - 8 * scale, left[1]), _label(value), _PALE, font, anchor="rm")
    middle = (_LEFT + (_WIDTH - _LEFT - _RIGHT) / 2) * scale
    draw.text((middle, (_HEIGHT - 28) * scale), x.title, _INK, font, anchor="mm")
    draw.text(((_WIDTH - _RIGHT) * scale, 16 * scale), y.title, _INK, font, anchor="ra")


def _draw_legend(
    draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    lines: Sequence[Line],
) -> None:  # fmt: skip
    if len(lines) < 2:  # noqa: PLR2004 - the title names one
        return
    for number, (line, colour) in enumerate(zip(lines, _COLOURS, strict=False)):
        place = ((_WIDTH - _RIGHT - 10) * _OVERSAMPLED, (_TOP + 10 + 22 * number) * _OVERSAMPLED)
        draw.text(place, line.name, colour, font, anchor="ra")


def _label(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"  # noqa: PLR2004 - no exponents
