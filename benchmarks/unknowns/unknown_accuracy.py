"""How well unknown people are recognised when they come back, and how fast.

A crowd drawn from a model's statistics: each person comes back now and then, and the embedding of
a visit differs from the person's as one photo differs from another. By threshold and margin:
``purity``, ``completeness`` and BCubed F of the unknowns (`benchmarks.unknowns.group_scores`),
``unknowns_per_person``, and ``f_range``, by how much F differs between orders of the visits. With
``--shared``, the photos of people there, each one a visit, and the thirds of labelled clips.
``assign_ms_p95``: one visit among as many unknowns as ``--sizes`` says. Drawn embeddings have no
twins and no bad pictures.

Run alone: ``python -m benchmarks unknowns --help``.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from agents.unknowns.visit_evidence import grouping_policy
from benchmarks.arguments import counts
from benchmarks.gallery.templates import Statistics, draw
from benchmarks.report import Report, Result, make_report
from benchmarks.unknowns.clip_crowd import clip_crowd
from benchmarks.unknowns.crowd import Crowd, assignment_times, drawn_crowd, grouped
from benchmarks.unknowns.group_scores import group_scores
from benchmarks.visits.photo_visitors import photographed
from config.settings import DetectSettings, UnknownSettings
from domain.decisions.grouping import GroupingPolicy
from ml.recognition.face_analyser import build_analyser
from ml.runtime.model_registry import SFACE, default_policy

_THRESHOLDS = (0.4, 0.45, 0.5, 0.55)
_MARGINS = (0.0, 0.03, 0.06)
_ORDERS = 3
_MEAN_VISITS = 5.0
_TIMED_VISITS = 500
_MILLISECONDS = 1000.0


def scores_of(crowds: Sequence[Crowd], policy: GroupingPolicy) -> dict[str, float]:
    """The scores of the first order, and how far F differs in the others."""
    found = []
    for crowd in crowds:
        groups = grouped(crowd, policy)
        scores = group_scores(crowd.people.tolist(), groups)
        people = len(set(crowd.people.tolist()))
        found.append(scores | {"unknowns_per_person": len(set(groups)) / people})
    of_all = [one["bcubed_f"] for one in found]
    return found[0] | {"f_range": max(of_all) - min(of_all)}


def measure_rules(subject: str, crowd: Crowd, policy: GroupingPolicy, number: int) -> list[Result]:
    """By threshold and margin."""
    orders = [crowd, *(crowd.shuffled(seed) for seed in range(1, _ORDERS))]
    results = []
    for threshold in _THRESHOLDS:
        for margin in _MARGINS:
            rules = replace(policy, threshold=threshold, margin=margin)
            case: dict[str, str | int] = {
                "people": number,
                "threshold": f"{threshold:.2f}",
                "margin": f"{margin:.2f}",
            }
            results.append(Result("unknowns", subject, case, scores_of(orders, rules)))
    return results


def measure_times(
    statistics: Statistics, sizes: Sequence[int], policy: GroupingPolicy
) -> list[Result]:
    """By number of unknowns."""
    results = []
    for size in sizes:
        population = draw(statistics, size, _TIMED_VISITS)
        seconds = assignment_times(population.templates, population.probes, policy)
        values = {
            "assign_ms_p50": float(np.quantile(seconds, 0.5)) * _MILLISECONDS,
            "assign_ms_p95": float(np.quantile(seconds, 0.95)) * _MILLISECONDS,
        }
        results.append(Result("unknowns", "assignment", {"unknowns": size}, values))
    return results


def photo_crowd(shared: Path, policy: GroupingPolicy) -> Crowd:
    """The photos of people, each one a visit, in some order; only those of enough quality."""
    cv2.setNumThreads(1)
    people = photographed(build_analyser(DetectSettings().models), shared / "faces")
    names = sorted(people)
    visits = [
        (number, np.frombuffer(face.embedding, "<f4"))
        for number, name in enumerate(names)
        for face in people[name]
        if face.reliable and face.quality >= policy.min_quality
    ]
    rows = np.stack([row for _, row in visits]).astype(np.float32)
    return Crowd(rows, np.array([number for number, _ in visits])).shuffled(0)


async def run(arguments: argparse.Namespace) -> Report:
    """Measure drawn crowds, photos and times."""
    policy = grouping_policy(UnknownSettings(), default_policy(SFACE.id))
    statistics = Statistics.load(arguments.statistics)
    results = []
    for people in arguments.people:
        crowd = drawn_crowd(statistics, people, _MEAN_VISITS, 1)
        results += measure_rules("drawn", crowd, policy, people)
    if arguments.shared is not None:
        crowd = photo_crowd(arguments.shared, policy)
        results += measure_rules("photos", crowd, policy, len(set(crowd.people.tolist())))
        crowd = clip_crowd(build_analyser(DetectSettings().models), arguments.shared, policy)
        results += measure_rules("clips", crowd, policy, len(set(crowd.people.tolist())))
    if arguments.sizes:
        results += measure_times(statistics, arguments.sizes, policy)
    return make_report(results, [], {"threshold": policy.threshold, "margin": policy.margin})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--statistics",
        type=Path,
        required=True,
        metavar="FILE",
        help="mean, between- and within-person covariance of a model (.npz)",
    )
    parser.add_argument("--people", type=counts, default=[1000], help="in a crowd (default: 1000)")
    parser.add_argument("--shared", type=Path, metavar="DIR", help="folder with photos of people")
    parser.add_argument(
        "--sizes", type=counts, default=[], help="numbers of unknowns to measure the time with"
    )
