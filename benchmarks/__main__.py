"""All benchmarks in one run, or one of them by name: what ``make bench`` starts."""

import argparse
import asyncio
import os
import sys

from benchmarks.arguments import add_output, finish
from benchmarks.gallery import search
from benchmarks.gpu import gpu
from benchmarks.images import decoding, motion
from benchmarks.inference import angles, mirror, models, precision
from benchmarks.regression import check
from benchmarks.system import latency, pipeline, scale, sinks
from benchmarks.video import memory, video
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
    "mirror": mirror,
    "gpu": gpu,
    "decoding": decoding,
    "motion": motion,
    "video": video,
    "memory": memory,
    "check": check,
}
#: In this order; the bare models are part of the pipeline's benchmark.
_ALL = ("pipeline", "video", "latency", "sinks", "search", "scale", "memory")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    video.add_baseline(parser)
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
        given = arguments if arguments.benchmark else _defaults(parser, name, arguments)
        module = _BENCHMARKS[name]
        if name == "check":
            sys.exit(asyncio.run(check.run(given)))
        finish(asyncio.run(module.run(given)), given)


def _defaults(
    parser: argparse.ArgumentParser, name: str, arguments: argparse.Namespace
) -> argparse.Namespace:
    """The options of a benchmark where none is named; the checkout to compare with is kept."""
    given = parser.parse_args([name])
    if name == "video":
        given.baseline = arguments.baseline
    return given


if __name__ == "__main__":
    main()
