"""Tables for people: columns, and how moments, scores and names are written."""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rich import box
from rich.table import Table
from rich.text import Text

Row = Mapping[str, object]
"""One line of a listing; the keys are those of the JSON output."""

NOTHING = "-"


def plain(value: object) -> str:
    """Any value as text that cannot steer a terminal: control characters are left out."""
    if value is None:
        return NOTHING
    return "".join(
        character for character in str(value) if unicodedata.category(character)[0] != "C"
    )


def moment(value: object) -> str:
    """A moment in local time, to the second."""
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return plain(value)


def clock(value: object) -> str:
    """The time of day of a moment, local, where the day goes without saying."""
    if isinstance(value, datetime):
        return value.astimezone().strftime("%H:%M:%S")
    return plain(value)


def score(value: object) -> str:
    """A similarity or quality with two decimals."""
    return f"{value:.2f}" if isinstance(value, float | int) else plain(value)


def person(value: object) -> str:
    """A person's name; None is "unknown"."""
    return "unknown" if value is None else plain(value)


def joined(value: object) -> str:
    """Several values with commas between them."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(plain(member) for member in value) or NOTHING
    return plain(value)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a listing.

    Attributes:
        key: which value of a row.
        title: head of the column.
        write: how the value becomes text.
        justify: to which side.
        style: rich style of the column.
        whole: an address or identifier, to be copied: it is never broken into lines.
    """

    key: str
    title: str
    write: Callable[[object], str] = plain
    justify: Literal["left", "right"] = "left"
    style: str | None = None
    whole: bool = False


SEEN_COLUMNS = (
    Column("name", "who", person, style="bold"),
    Column("camera_id", "camera"),
    Column("first_seen", "from", clock),
    Column("last_seen", "to", clock),
    Column("faces", "faces", justify="right"),
    Column("similarity", "similarity", score, justify="right"),
)
"""A visit: who was where, from when to when, in how many faces, and the similarity."""


def table(rows: Sequence[Row], columns: Sequence[Column], *, title: str | None = None) -> Table:
    """A table of rows; a row that lacks a key shows a dash."""
    drawn = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        drawn.add_column(
            column.title,
            justify=column.justify,
            style=column.style,
            overflow="fold",
            no_wrap=column.whole,
        )
    for row in rows:
        drawn.add_row(*(Text(column.write(row.get(column.key))) for column in columns))
    return drawn
