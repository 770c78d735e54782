"""Writes tables of text to the terminal, and reports into folders."""

import sys
from collections.abc import Sequence
from pathlib import Path

from infra.evaluation.evaluation_sections import Section
from infra.terminal.command_errors import CommandFailed
from infra.terminal.output import print_table
from infra.terminal.tables import Column, table


def show_sections(sections: Sequence[Section]) -> None:
    """Write each table with its title and its note to standard output."""
    for section in sections:
        columns = [Column(str(place), head) for place, head in enumerate(section.heads)]
        rows = [{str(place): value for place, value in enumerate(row)} for row in section.rows]
        print_table(table(rows, columns, title=section.title))
        if section.note:
            sys.stdout.write(f"  {section.note}\n\n")


def require_folder(output: Path) -> None:
    """Make a report's folder, before pictures are read, which may take an hour.

    Raises:
        CommandFailed: it cannot be made.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandFailed(f"cannot make the folder {output}: {error.strerror}") from error
