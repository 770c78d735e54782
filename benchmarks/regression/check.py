"""Has anything grown slower? Ratios measured now against the committed ones.

Only ratios of things measured in turns in the same run count, so neither the machine nor what
else runs on it decides; medians of several rounds do. The whole pipeline is compared with the bare
models by CPU time, including all its processes and servers. The memory that is touched for a frame
is counted and not timed: it is the same in every run, so a smaller loss counts. A ratio that fell
by more than it may is measured once more before the check fails.

Run alone: ``python -m benchmarks check``; ``--write`` commits what it measures.
"""

import argparse
import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.regression.pipeline_ratios import COUNTED, pipeline_ratios
from benchmarks.regression.process_ratios import ONE_BY_ONE, sink_ratios

BASELINE = Path(__file__).parent / "baseline.json"
#: The largest loss that passes.
MOST_LOST = 0.15
#: The same for what is counted.
MOST_LOST_OF_COUNTED = 0.10


def lost(measured: Mapping[str, float], committed: Mapping[str, float]) -> dict[str, float]:
    """The share that each ratio lost, of those that lost more than they may.

    Args:
        measured: ratios by name.
        committed: the same; names that are in one only do not count.
    """
    shares = {
        name: 1 - measured[name] / value for name, value in committed.items() if name in measured
    }
    return {name: share for name, share in shares.items() if share > _most_lost(name)}


def _most_lost(name: str) -> float:
    return MOST_LOST_OF_COUNTED if name in COUNTED else MOST_LOST


async def ratios() -> dict[str, float]:
    """All ratios, by name; more is better."""
    measured = {name: await asyncio.to_thread(measured) for name, measured in ONE_BY_ONE.items()}
    return measured | await pipeline_ratios() | await sink_ratios()


async def run(arguments: argparse.Namespace) -> int:
    """Measure, compare, and report; returns the exit code."""
    measured = await ratios()
    if arguments.write:
        rounded = {name: round(value, 3) for name, value in measured.items()}
        BASELINE.write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")
        print(f"wrote {BASELINE.name}: {rounded}")
        return 0
    committed: dict[str, float] = json.loads(BASELINE.read_text(encoding="utf-8"))
    if lost(measured, committed):
        print("measured once more, because of:", _in_words(lost(measured, committed)))
        again = await ratios()
        measured = {name: max(value, again[name]) for name, value in measured.items()}
    if gone := committed.keys() - measured.keys():
        print("committed, but no longer measured:", ", ".join(sorted(gone)))
        return 1
    for name, value in measured.items():
        print(f"{name:24} {value:6.3f}  committed {committed.get(name, np.nan):6.3f}")
    if worse := lost(measured, committed):
        print("slower than committed:", _in_words(worse))
        return 1
    return 0


def _in_words(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} by {100 * share:.0f} %" for name, share in shares.items())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this check."""
    parser.add_argument(
        "--write", action="store_true", help=f"write {BASELINE.name} instead of comparing with it"
    )
