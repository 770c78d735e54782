"""What a threshold means in galleries of several sizes, drawn from a model's statistics.

FPIR: the share of unknown people who match someone, with a threshold alone and with the margin.
FNIR: the share of the enrolled who do not match themselves; ``own_percent`` is the share whose
photo reaches the threshold with the own template. Templates are of one photo and of
three, fused. The FPIR has a 95 % interval of the unknown people. Drawn embeddings have no twins, no
wrong labels and no bad pictures: with pictures of a camera both rates are higher. Run alone:
``python -m benchmarks thresholds --help``.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.arguments import count, counts
from benchmarks.gallery.templates import Statistics, Vectors
from benchmarks.report import Report, Result, make_report
from config.settings import ModelSettings
from ml.evaluation.open_set import Floats
from ml.evaluation.people_bootstrap import wilson
from ml.recognition.embedders import unit_rows
from ml.runtime.model_registry import SFACE, match_policy

_THRESHOLDS = (0.42, 0.45, 0.48, 0.51, 0.55)
_WANTED = 0.01
_PHOTOS = (1, 3)
_CHUNK = 10_000
_PERCENT = 100.0
_SEED = 15


def _people(statistics: Statistics, random: np.random.Generator, number: int) -> Vectors:
    own = random.standard_normal((number, len(statistics.mean)), np.float32)
    return np.asarray(statistics.mean + own @ statistics.between.T, np.float32)


def _photos(statistics: Statistics, random: np.random.Generator, people: Vectors) -> Vectors:
    noise = random.standard_normal(people.shape, np.float32)
    return unit_rows(people + noise @ statistics.within.T)


def _templates(
    statistics: Statistics, random: np.random.Generator, people: Vectors, photos: int
) -> Vectors:
    own = [_photos(statistics, random, people) for _ in range(photos)]
    return unit_rows(np.mean(own, axis=0, dtype=np.float32))


def _two_best(
    statistics: Statistics, random: np.random.Generator, probes: Vectors, size: int, photos: int
) -> tuple[Floats, Floats]:
    """The two highest cosines of each probe to templates of so many other people."""
    best = np.full((len(probes), 2), -1.0)
    for start in range(0, size, _CHUNK):
        people = _people(statistics, random, min(_CHUNK, size - start))
        scores = probes @ _templates(statistics, random, people, photos).T
        top = np.partition(scores, scores.shape[1] - 2, axis=1)[:, -2:]
        best = np.sort(np.concatenate([best, top], axis=1), axis=1)[:, -2:]
    return best[:, 1], best[:, 0]


def measure(statistics: Statistics, size: int, photos: int, probes: int) -> list[Result]:
    """Error rates in a gallery of this size.

    Args:
        statistics: of the model.
        size: number of people, at least two.
        photos: number of photos of a template.
        probes: of enrolled people, and as many of unknown ones.
    """
    random = np.random.default_rng((_SEED, size, photos))
    unknown = _photos(statistics, random, _people(statistics, random, probes))
    best, second = _two_best(statistics, random, unknown, size, photos)
    enrolled = _people(statistics, random, probes)
    own = np.sum(
        _templates(statistics, random, enrolled, photos) * _photos(statistics, random, enrolled),
        axis=1,
        dtype=np.float64,
    )
    # A person who is enrolled resembles the others as little as one who is not.
    others = random.permutation(best)
    margin = match_policy(SFACE.id, ModelSettings()).margin
    lead = best - second >= margin
    limit = float(np.quantile(best, 1 - _WANTED))
    case = {"people": size, "photos": photos}
    rows = [("FPIR 1 %", limit), *((f"{threshold:.2f}", threshold) for threshold in _THRESHOLDS)]
    results = []
    for subject, threshold in rows:
        fpir = float((best >= threshold).mean())
        low, high = wilson(fpir, probes)
        found = (own >= threshold) & (own - others >= margin)
        results.append(
            Result(
                "thresholds",
                subject,
                case,
                {
                    "threshold": threshold,
                    "fpir_percent": _PERCENT * fpir,
                    "low": _PERCENT * low,
                    "high": _PERCENT * high,
                    "fpir_with_margin_percent": _PERCENT
                    * float(((best >= threshold) & lead).mean()),
                    "own_percent": _PERCENT * float((own >= threshold).mean()),
                    "fnir_with_margin_percent": _PERCENT * float(1 - found.mean()),
                },
            )
        )
    return results


async def run(arguments: argparse.Namespace) -> Report:
    """Measure all sizes."""
    sizes: list[int] = arguments.sizes
    statistics = Statistics.load(arguments.statistics)
    results = [
        one
        for size in sizes
        for photos in _PHOTOS
        for one in measure(statistics, size, photos, arguments.probes)
    ]
    return make_report(results, [], {"probes": arguments.probes})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--statistics",
        type=Path,
        required=True,
        metavar="FILE",
        help="npz file with the mean and covariances of real embeddings",
    )
    parser.add_argument("--sizes", type=counts, default=[150, 1000, 10_000], help="150,1000,10000")
    parser.add_argument(
        "--probes", type=count, default=4000, help="people searched for (default: 4000)"
    )
