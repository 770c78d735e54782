"""How commands show listings: a table for people, or with ``--json`` one document for programs.

The JSON document is an array with one object a row, in UTF-8, moments in ISO 8601 with their
offset; an empty listing is ``[]``. ``jq '.[]'`` makes lines of it.
"""

import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console

from infra.tables import Column, Row, table


def to_json(rows: Sequence[Row]) -> str:
    """The rows as one JSON document, indented, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(list(rows)), indent=2).decode() + "\n"


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
        sys.stdout.write(to_json(rows))
    elif rows:
        Console().print(table(rows, columns))
    else:
        sys.stdout.write(f"{empty}\n")
