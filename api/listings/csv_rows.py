"""Rows as CSV (RFC 4180), for spreadsheets: safe to open there, whatever a name is."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence

from fastapi.responses import StreamingResponse

MEDIA_TYPE = "text/csv"

#: What makes a spreadsheet take a cell for a formula (OWASP, "CSV Injection"), also as the wide
#: characters that some of them read alike.
_FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")


#: Control characters become blanks: a row stays a line, and no cell begins again after a tab.
_CONTROL = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), " ")


def wants_csv(accept: str | None) -> bool:
    """Whether an Accept header asks for CSV before JSON; a wildcard asks for neither."""
    weights = dict(_weights(accept or ""))
    csv_weight = weights.get(MEDIA_TYPE, 0.0)
    return csv_weight > 0 and csv_weight >= weights.get("application/json", 0.0)


def _weights(accept: str) -> Iterable[tuple[str, float]]:
    """Media types and their weights (RFC 9110, 12.5.1); a weight that is none counts as 0."""
    for part in accept.split(","):
        kind, *parameters = (one.strip().lower() for one in part.split(";"))
        weight = next((one[2:] for one in parameters if one.startswith("q=")), "1")
        try:
            yield kind, float(weight)
        except ValueError:
            yield kind, 0.0


def csv_lines(rows: Iterable[Sequence[object]]) -> bytes:
    """Rows as CSV in UTF-8."""
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: object) -> str:
    """A value as text that no spreadsheet runs; None is empty.

    An apostrophe is put before what it would take for a formula, also behind blanks.
    """
    if value is None:
        return ""
    if isinstance(value, float | int):
        return str(value)
    text = str(value).translate(_CONTROL)
    return f"'{text}" if text.lstrip()[:1] in _FORMULA else text


def csv_response(lines: AsyncIterator[bytes], name: str) -> StreamingResponse:
    """The response whose body these lines are.

    Args:
        lines: header row included.
        name: of the file, for browsers.
    """
    return StreamingResponse(
        lines,
        media_type=f"{MEDIA_TYPE}; charset=utf-8; header=present",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Vary": "Accept"},
    )
