"""All benchmarks in one run: what ``make bench`` starts."""

import argparse
import asyncio

from benchmarks import pipeline
from benchmarks.arguments import finish


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the pipeline against the bare models; takes about three minutes.",
    )
    pipeline.add_arguments(parser)
    arguments = parser.parse_args()
    finish(asyncio.run(pipeline.run(arguments)), arguments)


if __name__ == "__main__":
    main()
