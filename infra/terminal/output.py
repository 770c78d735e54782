"""How commands show listings: a table for people, or with ``--json`` one document for programs.

The JSON document is an array with one object a row, in UTF-8, moments in ISO 8601 with their
offset; an empty listing is ``[]``. ``jq '.[]'`` makes lines of it.
"""

import codecs
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from infra.terminal.tables import Column, Row, table

#: Wider than any row is; a table is measured by it, and never as wide.
_WIDEST: Final = 100_000

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def to_json(document: object) -> str:
    """Rows, or anything else, as one JSON document, indented, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(readable(document)), indent=2).decode() + "\n"


def show_listing(
    rows: Sequence[Row], columns: Sequence[Column], *, as_json: bool, empty: str
) -> None:
    """Write a listing to standard output.

    Args:
        rows: the values; with ``as_json`` all of them are written, whether a column or not.
        columns: of the table.
        as_json: one JSON document instead of a table.
        empty: what a person reads when there are no rows.
    """
    if as_json:
        write_json(rows)
    elif rows:
        print_table(table(rows, columns))
    else:
        sys.stdout.write(f"{empty}\n")


def print_table(drawn: Table) -> None:
    """Write a table to standard output.

    On a terminal it is fitted to the width, but for addresses and identifiers, which stay whole. To
    anything else each row is one line, as long as it is.
    """
    console = Console()
    wanted = Measurement.get(console, console.options.update(width=_WIDEST), drawn)
    console.width = (
        max(console.width, wanted.minimum) if console.is_terminal else max(wanted.maximum, 1)
    )
    console.print(drawn, crop=False)


def show_limit(shown: int, what: str, total: int | None = None) -> None:
    """Say on standard error that a listing stopped at its limit.

    Args:
        shown: how many rows there are.
        what: is listed.
        total: how many there are in all, where that is known.
    """
    count = f"{shown} of {total}" if total is not None else f"only {shown}"
    sys.stderr.write(f"{count} {what} are shown; --limit shows more\n")


def write_json(document: object) -> None:
    """Write one JSON document to standard output, whatever the encoding of that is."""
    text = to_json(document)
    if not is_utf8(sys.stdout.encoding):
        # Escapes are the same bytes in every encoding of a terminal, and the same text.
        text = json.dumps(json.loads(text), indent=2) + "\n"
    sys.stdout.write(text)


def is_utf8(encoding: str | None) -> bool:
    """Whether an encoding is UTF-8 by one of its names."""
    try:
        return codecs.lookup(encoding or "utf-8").name == "utf-8"
    except LookupError:
        return False


def readable(value: object) -> object:
    """The value with replacement characters for lone surrogates.

    These represent bytes of a file's name that are not UTF-8, which JSON cannot contain.
    """
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {name: readable(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [readable(one) for one in value]
    return value
