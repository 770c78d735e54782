"""What the command lines of all benchmarks have in common."""

import argparse
import contextlib
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.load.frames import Case
from benchmarks.report import Report, show

Number = TypeVar("Number", int, float)

DEFAULT_CASES = (
    Case(640, 480, 0),
    Case(640, 480, 1),
    Case(640, 480, 4),
    Case(640, 480, 20),
    Case(1920, 1080, 1),
    Case(1920, 1080, 4),
)


def add_common(parser: argparse.ArgumentParser, by_default: float = 3.0) -> None:
    """Add the options that every benchmark has.

    Args:
        parser: takes them.
        by_default: length of a measurement.
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
        type=duration,
        default=by_default,
        help="about how long each measurement takes (default: %(default)s)",
    )
    parser.add_argument(
        "--threads", type=whole, default=0, help="threads of the models (default: one per core)"
    )
    parser.add_argument(
        "--portraits",
        type=Path,
        help="a folder of portraits for frames, in addition to the samples",
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the results go."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there, too")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw the results there as PNG")


def add_shared(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the option that names the folder with shared data; ``what`` it is read for."""
    shared = os.environ.get("FECAPASS_SHARED")
    parser.add_argument(
        "--shared",
        type=Path,
        metavar="DIR",
        required=shared is None,
        default=Path(shared) / "data" if shared else None,
        help=f"folder with the {what} (default: data in FECAPASS_SHARED)",
    )


def duration(text: str) -> float:
    """A time to measure for: more than nothing, and not for ever.

    Raises:
        argparse.ArgumentTypeError: it is not.
    """
    value = amount(text)
    if not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return value


def amount(text: str) -> float:
    """A number that is not negative.

    Raises:
        argparse.ArgumentTypeError: it is, or is none.
    """
    return _from_zero(float, text, "number")


def whole(text: str) -> int:
    """A whole number that is not negative.

    Raises:
        argparse.ArgumentTypeError: it is, or is none.
    """
    return _from_zero(int, text, "whole number")


def _from_zero(parse: Callable[[str], Number], text: str, what: str) -> Number:
    with contextlib.suppress(ValueError):
        if 0 <= (value := parse(text)) < math.inf:
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is no {what} from 0 on")


def count(text: str) -> int:
    """A whole number from one on.

    Raises:
        argparse.ArgumentTypeError: it is not.
    """
    value = whole(text)
    if not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return value


def counts(text: str) -> list[int]:
    """Whole numbers from one on, separated by commas.

    Raises:
        argparse.ArgumentTypeError: there is none, or another.
    """
    return [count(one.strip()) for one in text.split(",")]


def cases_of(arguments: argparse.Namespace) -> Sequence[Case]:
    """The selected cases."""
    return arguments.case or DEFAULT_CASES


def finish(report: Report, arguments: argparse.Namespace) -> None:
    """Print the report, and write it if requested."""
    show(report)
    if arguments.json is not None:
        report.write_json(arguments.json)
    if arguments.plots is not None:
        # Matplotlib is heavy, and a dependency of developers only.
        from benchmarks.plots import draw  # noqa: PLC0415

        draw(report, arguments.plots)
