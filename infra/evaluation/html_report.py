"""The report of an evaluation: one HTML file without outside links."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import NamedTuple

from infra.evaluation.evaluation import Evaluation, settings_lines
from infra.evaluation.evaluation_charts import CAPTIONS
from infra.evaluation.evaluation_sections import Section
from infra.terminal.output import readable
from infra.terminal.tables import plain

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #212529; background: #fff; margin: 2rem auto;
  max-width: 60rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #dee2e6;
  overflow-wrap: anywhere; vertical-align: top; }
th { color: #495057; font-weight: 600; }
p.note, figcaption { color: #495057; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
pre { background: #f1f3f5; padding: .8rem; overflow-x: auto; }
.wide { overflow-x: auto; }
"""


class Figure(NamedTuple):
    """A chart, with what it shows."""

    caption: str
    png: bytes


def html_report(
    evaluation: Evaluation,
    sections: Sequence[Section],
    charts: Mapping[str, bytes],
    made_at: datetime,
) -> str:
    """The whole page.

    Args:
        evaluation: the results.
        sections: its tables.
        charts: PNG files by name.
        made_at: with its time zone.
    """
    return page_of(
        "Fecapass evaluation",
        f"{made_at.strftime('%Y-%m-%d %H:%M %Z')}, model {evaluation.model}. "
        "Percentages are of probes, intervals are 95 % intervals of a bootstrap over people.",
        settings_lines(evaluation),
        sections,
        [Figure(CAPTIONS[name], png) for name, png in charts.items()],
    )


def page_of(
    title: str,
    introduction: str,
    settings: Sequence[str],
    sections: Sequence[Section],
    figures: Sequence[Figure],
) -> str:
    """A page.

    Args:
        title: its heading.
        introduction: one paragraph.
        settings: lines for the reader's ``.env``; empty: none.
        sections: tables.
        figures: charts.
    """
    pasted = f"<h2>Settings</h2>\n<pre>{_text(chr(10).join(settings))}</pre>\n" if settings else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{_text(title)}</h1>\n<p>{_text(introduction)}</p>\n"
        f"{pasted}{''.join(map(_section, sections))}{''.join(map(_figure, figures))}"
        "</body>\n</html>\n"
    )


def _section(section: Section) -> str:
    head = "".join(f'<th scope="col">{_text(one)}</th>' for one in section.heads)
    rows = "".join(
        f"<tr>{''.join(f'<td>{_text(one)}</td>' for one in row)}</tr>\n" for row in section.rows
    )
    note = f'<p class="note">{_text(section.note)}</p>\n' if section.note else ""
    return (
        f"<h2>{_text(section.title)}</h2>\n"
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n'
        f"</table></div>\n{note}"
    )


def _figure(figure: Figure) -> str:
    caption = _text(figure.caption)
    encoded = base64.b64encode(figure.png).decode("ascii")
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )


def _text(value: str) -> str:
    """Text of any file's name, without control characters, for HTML."""
    shown = "\n".join(plain(line) for line in str(readable(value)).split("\n"))
    return escape(shown)
