"""The results as tables and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console, Group, RenderableType

from infra.terminal.tables import Column, table
from tests.chaos import recovery
from tests.chaos.corrections.correction_accounting import CorrectionFigures
from tests.chaos.run import Result
from tests.chaos.visits.visit_accounting import VisitFigures

_MOST_FLAWS = 25
_SORTS = ("lost", "doubled", "wrong", "stuck")


def _seconds(value: object) -> str:
    return "-" if value is None else f"{value:.1f}"


_RECOVERY = (
    Column("name", "fault"),
    Column("count", "times", justify="right"),
    Column("p50", "recovery p50 s", _seconds, justify="right"),
    Column("p95", "p95 s", _seconds, justify="right"),
    Column("longest", "longest s", _seconds, justify="right"),
    Column("alone", "p95 without other faults s", _seconds, justify="right"),
    Column("stop", "longest stop s", _seconds, justify="right"),
)
_RUNS = (
    Column("seed", "seed", justify="right"),
    Column("faults", "faults", justify="right"),
    Column("events", "events", justify="right"),
    Column("corrections", "corrected", justify="right"),
    *(Column(sort, sort, justify="right") for sort in _SORTS),
    Column("repeats", "again", justify="right"),
    Column("p50", "p50 s", _seconds, justify="right"),
    Column("p95", "p95 s", _seconds, justify="right"),
    Column("longest", "longest", _seconds, justify="right"),
    Column("alone", "alone", _seconds, justify="right"),
    Column("stop", "stop s", _seconds, justify="right"),
    Column("settled_after", "settled", _seconds, justify="right"),
    Column("peak_mb", "MB", justify="right"),
    Column("wall", "run s", lambda value: f"{value:.0f}", justify="right"),
    Column("passed", ""),
)


def as_json(result: Result) -> dict[str, Any]:
    """Everything about a run, as plain values."""
    verdict, options = result.verdict, result.options
    return {
        "seed": options.seed,
        "seconds": options.seconds,
        "rate": options.rate,
        "broker": result.broker,
        "passed": result.passed,
        "faults": len(result.injected),
        "events": result.events,
        "messages": result.messages,
        "outcomes": dict(verdict.outcomes),
        **{sort: verdict.count(sort) for sort in _SORTS},
        "repeated_matches": verdict.repeated_matches,
        "repeated_dead_letters": verdict.repeated_dead_letters,
        "visits": asdict(result.visits),
        "corrections": asdict(result.corrections),
        "recoveries": [
            {
                "fault": one.name,
                "seconds": one.seconds,
                "alone_seconds": one.alone,
                "stop_seconds": one.stop_seconds,
            }
            for one in result.recoveries
        ],
        "settled_after": result.settled_after,
        "notable_ends": list(result.unexpected_ends),
        "worker_peak_bytes": result.peak_bytes,
        "left_out": list(result.left_out),
        "wall_seconds": result.seconds,
        "flaws": [{"sort": flaw.sort, "what": flaw.what} for flaw in verdict.flaws],
        "logs": None if result.logs is None else str(result.logs),
    }


def one_run(result: Result) -> RenderableType:
    """The tables of one run."""
    lines = [
        *(f"{flaw.sort}: {flaw.what}" for flaw in result.verdict.flaws[:_MOST_FLAWS]),
        *(f"noted: {line}" for line in result.unexpected_ends),
    ]
    outcomes = ", ".join(f"{count} {name}" for name, count in result.verdict.outcomes.items())
    return Group(
        table([_row(one) for one in recovery.by_fault(result.recoveries)], _RECOVERY),
        f"events: {outcomes}",
        f"visits: {_visits(result.visits)}",
        f"corrections: {_corrections(result.corrections)}",
        *lines,
        all_runs([result]),
    )


def all_runs(results: Sequence[Result]) -> RenderableType:
    """A table with one line per run."""
    return table([_summary(result) for result in results], _RUNS)


def show(console: Console, results: Sequence[Result], *, machine: bool) -> None:
    """Print the results of all runs."""
    if machine:
        console.out(json.dumps([as_json(result) for result in results], indent=2))
    elif len(results) > 1:
        recoveries = [one for result in results for one in result.recoveries]
        rows = [_row(one) for one in recovery.by_fault(recoveries)]
        console.print(Group(table(rows, _RECOVERY), all_runs(results)))


def _row(summary: recovery.Summary) -> dict[str, object]:
    return {
        "name": summary.name,
        "count": summary.count,
        "p50": summary.p50,
        "p95": summary.p95,
        "longest": summary.longest,
        "alone": summary.alone,
        "stop": summary.stop,
    }


def _summary(result: Result) -> dict[str, object]:
    everything = [replace(one, name="all") for one in result.recoveries]
    (total,) = recovery.by_fault(everything) or [None]
    return {
        "seed": result.options.seed,
        "faults": len(result.injected),
        "events": result.events,
        "corrections": sum(result.corrections.made.values()) + result.corrections.promoted,
        **{sort: result.verdict.count(sort) for sort in _SORTS},
        "repeats": result.verdict.repeated_matches
        + result.verdict.repeated_dead_letters
        + result.visits.repeated
        + result.corrections.repeated,
        "p50": None if total is None else total.p50,
        "p95": None if total is None else total.p95,
        "longest": None if total is None else total.longest,
        "alone": None if total is None else total.alone,
        "stop": None if total is None else total.stop,
        "settled_after": result.settled_after,
        "peak_mb": result.peak_bytes >> 20,
        "wall": result.seconds,
        "passed": "passed" if result.passed else "FAILED",
    }


def _visits(figures: VisitFigures) -> str:
    """One line about the visits of a run."""
    messages = ", ".join(
        f"{figures.announcements.get(word, 0)} {word}" for word in ("started", "updated", "ended")
    )
    return (
        f"{figures.visits} of {figures.faces} faces ({figures.late} late, and {figures.dropped} "
        f"late ones in none); {messages}, {figures.returned} of them returned; "
        f"{figures.repeated} messages again"
    )


def _corrections(figures: CorrectionFigures) -> str:
    """One line about the corrections of a run."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(figures.made.items()))
    return (
        f"{kinds}, {figures.promoted} promoted, {figures.unanswered} without an answer; "
        f"{figures.faces} faces, {figures.visits} visits changed; {figures.unknowns} unknowns of "
        f"{figures.grouped} visits; {figures.messages} messages, {figures.repeated} again"
    )
