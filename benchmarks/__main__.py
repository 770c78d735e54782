"""All benchmarks in one run, or one of them by name: what ``make bench`` starts."""

import argparse
import asyncio
import os
import sys

from benchmarks.arguments import add_output, finish
from benchmarks.gallery import search, similar, thresholds
from benchmarks.gpu import gpu
from benchmarks.images import decoding, face_heights, motion
from benchmarks.inference import (
    angles,
    discarded_faces,
    enrolment,
    kept_crops,
    liveness_inputs,
    mirror,
    models,
    precision,
)
from benchmarks.regression import check
from benchmarks.system import latency, pipeline, scale, sinks
from benchmarks.unknowns import unknown_accuracy
from benchmarks.video import memory, video
from benchmarks.visits import visit_accuracy, visit_starts
from infra.processes.run_guard import RunGuard

_BENCHMARKS = {
    "models": models,
    "pipeline": pipeline,
    "latency": latency,
    "sinks": sinks,
    "search": search,
    "similar": similar,
    "thresholds": thresholds,
    "scale": scale,
    "angles": angles,
    "enrolment": enrolment,
    "precision": precision,
    "mirror": mirror,
    "kept_crops": kept_crops,
    "quality": discarded_faces,
    "liveness_inputs": liveness_inputs,
    "gpu": gpu,
    "decoding": decoding,
    "heights": face_heights,
    "motion": motion,
    "video": video,
    "memory": memory,
    "visits": visit_accuracy,
    "visit_starts": visit_starts,
    "unknowns": unknown_accuracy,
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
