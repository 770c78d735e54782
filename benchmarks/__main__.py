"""All benchmarks in one run, or one of them by name: what ``make bench`` starts."""

import argparse
import asyncio
import os
import sys

from benchmarks import regression
from benchmarks.arguments import add_output, finish
from benchmarks.gallery import search
from benchmarks.inference import angles, models, precision
from benchmarks.system import latency, pipeline, scale, sinks
from infra.processes.run_guard import RunGuard

_BENCHMARKS = {
    "models": models,
    "pipeline": pipeline,
    "latency": latency,
    "sinks": sinks,
    "search": search,
    "scale": scale,
    "angles": angles,
    "precision": precision,
    "check": regression,
}
#: In this order; the bare models are part of the pipeline's benchmark.
_ALL = ("pipeline", "latency", "sinks", "search", "scale")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="benchmark", metavar="BENCHMARK")
    for name, module in _BENCHMARKS.items():
        doc = module.__doc__ or ""
        command = commands.add_parser(
            name,
            help=doc.splitlines()[0],
            description=doc,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        if name != "check":
            add_output(command)
    arguments = parser.parse_args()
    with RunGuard() as guard:
        os.environ.update(guard.environment)
        _run(parser, arguments)


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    names = [arguments.benchmark] if arguments.benchmark else _ALL
    for name in names:
        given = arguments if arguments.benchmark else parser.parse_args([name])
        module = _BENCHMARKS[name]
        if name == "check":
            sys.exit(asyncio.run(regression.run(given)))
        finish(asyncio.run(module.run(given)), given)


if __name__ == "__main__":
    main()
