"""``make chaos``, or ``python -m tests.chaos``."""

import argparse
import asyncio
import logging
import os
import secrets
import sys

from rich.console import Console

from benchmarks.arguments import count, duration
from infra.processes.run_guard import RunGuard
from infra.processes.signals import take_sigterm_for_ctrl_c
from tests.chaos import report
from tests.chaos.run import Options, Result, run

_WIDTH = 130


def main() -> int:
    """The command line; 0 when nothing was lost, doubled, wrong or stuck."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Inject faults into the running pipeline, then count each event's outcome.",
    )
    parser.add_argument(
        "--seconds", type=duration, default=60.0, help="how long events are published"
    )
    parser.add_argument("--rate", type=duration, default=12.0, help="events a second")
    parser.add_argument("--seed", type=int, help="seed of events and faults; a run prints its seed")
    parser.add_argument(
        "--runs", type=count, default=1, help="number of runs; seeds from --seed on"
    )
    parser.add_argument(
        "--workers", type=count, default=2, help="workers of each kind at the start"
    )
    parser.add_argument("--embedded-broker", action="store_true", help="do not use Docker")
    parser.add_argument("--no-faults", action="store_true", help="publish events without faults")
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    arguments = parser.parse_args()
    take_sigterm_for_ctrl_c()
    # What the harness itself cannot reach during a fault is expected.
    for name in ("aiokafka", "asyncpg"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    console, progress = Console(width=_WIDTH), Console(width=_WIDTH, stderr=arguments.json)
    first = arguments.seed if arguments.seed is not None else secrets.randbelow(1 << 31)
    with RunGuard() as guard:
        os.environ.update(guard.environment)
        results = _runs(arguments, first, progress)
    report.show(console, results, machine=arguments.json)
    return 0 if all(result.passed for result in results) else 1


def _runs(arguments: argparse.Namespace, first: int, progress: Console) -> list[Result]:
    results: list[Result] = []
    for seed in range(first, first + arguments.runs):
        options = Options(
            seed=seed,
            seconds=arguments.seconds,
            rate=arguments.rate,
            embedded_broker=arguments.embedded_broker,
            without_faults=arguments.no_faults,
            workers=arguments.workers,
        )
        result = asyncio.run(
            run(options, lambda line: progress.print(line, markup=False, highlight=False))
        )
        progress.print(report.one_run(result))
        results.append(result)
    return results


if __name__ == "__main__":
    sys.exit(main())
