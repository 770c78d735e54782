"""What the command lines of all benchmarks have in common."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.frames import Case
from benchmarks.report import Report, show

DEFAULT_CASES = (
    Case(640, 480, 0),
    Case(640, 480, 1),
    Case(640, 480, 4),
    Case(640, 480, 20),
    Case(1920, 1080, 1),
    Case(1920, 1080, 4),
)


def add_common(parser: argparse.ArgumentParser, seconds: float = 3.0) -> None:
    """Add the options that every benchmark has.

    Args:
        parser: takes them.
        seconds: default length of a measurement.
    """
    parser.add_argument(
        "--case",
        action="append",
        type=Case.parse,
        metavar="WxH:FACES",
        help="what the frames look like; may be given several times (default: "
        + ", ".join(map(str, DEFAULT_CASES))
        + ")",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=seconds,
        help="about how long each measurement takes (default: %(default)s)",
    )
    parser.add_argument(
        "--threads", type=int, default=0, help="threads of the models (default: one per core)"
    )
    parser.add_argument(
        "--portraits", type=Path, help="a folder of portraits to compose frames of, beside samples"
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the results go."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there, too")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw the results there as PNG")


def integers(text: str) -> list[int]:
    """Numbers separated by commas."""
    return [int(one) for one in text.split(",") if one]


def cases_of(arguments: argparse.Namespace) -> Sequence[Case]:
    """The cases that were asked for."""
    return arguments.case or DEFAULT_CASES


def finish(report: Report, arguments: argparse.Namespace) -> None:
    """Print the report, and write it where that was asked for."""
    show(report)
    if arguments.json is not None:
        report.write_json(arguments.json)
    if arguments.plots is not None:
        # Matplotlib is heavy, and a dependency of developers only.
        from benchmarks.plots import draw  # noqa: PLC0415

        draw(report, arguments.plots)
