"""All that `fecapass evaluate` finds out about a set of photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np
import numpy.typing as npt

from domain.decisions.matching import MatchPolicy
from domain.decisions.template_weight import template_weight
from domain.events import DetectedFace
from infra.evaluation.photo_faces import ReadPhoto
from infra.evaluation.protocol import Roles
from ml.evaluation.discard import LEAST_ERRORS, SHARES, error_versus_discard
from ml.evaluation.error_rates import (
    OperatingPoint,
    curve_of,
    fnir_interval,
    operating_point,
    people_needed,
)
from ml.evaluation.gallery_sizes import DrawnGalleries, drawn_galleries
from ml.evaluation.impostor_tail import FittedTail, fit_tail
from ml.evaluation.open_set import Probes, Trials, fused, search
from ml.evaluation.pairs import PairRates, pair_rates
from ml.evaluation.people_bootstrap import Estimate, draw_people, share_of
from ml.evaluation.recommendation import Recommendation, Sweep, Trialled, recommend, sweep

FPIRS = (0.003, 0.01, 0.03, 0.1)
SIZES = (1_000, 10_000, 100_000)

#: By the product's quality score: refused by enrolment at the default, and two more.
_QUALITY_BINS = (0.0, 0.35, 0.7, 1.0)
_DET_POINTS = 40
_CONFUSIONS = 20

#: A group of probes of fewer people is not shown on its own.
_LEAST_PEOPLE = 5

#: What an error-versus-discard curve is drawn of, besides the score itself.
_MEASURES = ("sharpness", "asymmetry", "face_pixels", "contrast", "upright_margin")

Bools = npt.NDArray[np.bool_]


class TooFewPeopleError(Exception):
    """No person can be enrolled and searched for; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Group:
    """Error rates of some of the probes, at the present threshold and margin."""

    name: str
    value: str
    fnir: Estimate
    fpir: Estimate


@dataclass(frozen=True, slots=True)
class WantedFpir:
    """What an FPIR costs; without a point there are fewer unknown people than needed."""

    fpir: float
    point: OperatingPoint | None
    unknown_people: int
    needed_people: int


@dataclass(frozen=True, slots=True)
class LargerGallery:
    """What is to be expected of a gallery of some size, with 95 % intervals."""

    size: int
    fpir_now: tuple[float, float, float]
    threshold: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class DetCurve:
    """FNIR by FPIR, with its 95 % interval."""

    fpir: list[float]
    fnir: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True, slots=True)
class Confusion:
    """An unknown person's photo that the present settings identify as someone."""

    photo: str
    person: str
    named: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Discard:
    """FNIR after the probes with the lowest values of a measure are discarded."""

    measure: str
    shares: tuple[float, ...]
    fnir: list[float]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The results; shares are 0 to 1, thresholds cosines, intervals 95 %.

    Attributes:
        model: id of the embedder.
        policy: the present threshold and margin.
        wanted_fpir: that the recommendation is for.
        enrolled_people: the size of the gallery.
        template_photos: the mean number of photos of a template.
        fnir: of all probes of enrolled people, at the present settings.
        misidentified: of these, the share that is identified as another person.
        rank_1: of these, the share whose own template is the best one.
        fpir: of all probes of unknown people, and of those enrolled who are left out.
        fpir_unknown: of those who are not enrolled alone.
        fpir_left_out: of those enrolled who are left out alone.
        wanted: FNIR by FPIR.
        pairs: FMR and FNMR of pairs of photos.
        groups: by camera, by quality.
        drawn_galleries: smaller galleries drawn from this one, and what the tail says of them.
        tail: how high impostors score; None where there is too little data.
        larger: galleries of other sizes.
        recommendation: for the wanted FPIR in this gallery; None where there is too little data.
        recommended_size: gallery for which `recommended_threshold` is.
        recommended_threshold: with its interval, by the tail.
        sweep: error rates by threshold and margin.
        det: the curve.
        discards: by measure of quality; empty where there are too few errors.
        confusions: the most similar ones first.
    """

    model: str
    policy: MatchPolicy
    wanted_fpir: float
    enrolled_people: int
    template_photos: float
    fnir: Estimate
    misidentified: Estimate
    rank_1: Estimate
    fpir: Estimate
    fpir_unknown: Estimate
    fpir_left_out: Estimate
    wanted: list[WantedFpir]
    pairs: list[PairRates]
    groups: list[Group]
    drawn_galleries: list[DrawnGalleries]
    tail: FittedTail | None
    larger: list[LargerGallery]
    recommendation: Recommendation | None
    recommended_size: int | None
    recommended_threshold: tuple[float, float, float] | None
    sweep: Sweep
    det: DetCurve | None
    discards: list[Discard]
    confusions: list[Confusion]


@dataclass(frozen=True, slots=True, eq=False)
class _Searched:
    """Probes of both kinds with the labels of their photos, in the order of the trials."""

    reads: Sequence[ReadPhoto]
    trials: Trials
    trialled: Trialled
    names: Sequence[str]

    def group(self, name: str, value: str, chosen: Bools, policy: MatchPolicy) -> Group:
        known = chosen & self.trials.known
        part = Trialled(
            self.trials.of(known),
            self.trials.of(chosen),
            self.trialled.columns,
            self.trialled.drawn,
        )
        return Group(name, value, part.fnir(policy), part.fpir(policy))


def evaluate(
    roles: Roles,
    *,
    model: str,
    policy: MatchPolicy,
    wanted_fpir: float = 0.01,
    gallery_size: int | None = None,
) -> Evaluation:
    """Search the probes, and count.

    Args:
        roles: who is enrolled, and what is searched.
        model: id of the embedder.
        policy: the present threshold and margin.
        wanted_fpir: to recommend a threshold and a margin for.
        gallery_size: to recommend a threshold for, by extrapolation.

    Raises:
        TooFewPeopleError: no person is enrolled, or nothing is searched.
    """
    _require_enough(roles)
    reads = [*roles.probes, *roles.unknown]
    names, numbers = _numbered(roles, reads)
    templates = [read for own in roles.enrolled.values() for read in own]
    gallery = fused(
        np.stack([_embedding(read) for read in templates]),
        np.array([numbers[_key(read)] for read in templates]),
        np.array([_weight(read) for read in templates]),
    )
    probes = Probes(
        np.stack([_embedding(read) for read in reads]),
        np.array([numbers[_key(read)] for read in reads]),
        np.array([_face(read).reliable for read in reads]),
    )
    trials, tail = search(gallery, probes)
    is_known = np.isin(np.arange(len(names)), gallery.owners)
    drawn = draw_people(is_known)
    columns = np.arange(len(names))
    trialled = Trialled(trials.of(trials.known), trials, columns, drawn)
    searched = _Searched(reads, trials, trialled, names)
    unknown_people = trialled.named(policy.margin).count
    fitted = fit_tail(tail)
    enough = unknown_people >= people_needed(wanted_fpir)
    every = [read for read in [*templates, *reads] if _face(read).reliable]
    pairs = pair_rates(
        np.stack([_embedding(read) for read in every]),
        np.array([numbers[_key(read)] for read in every]),
        policy.threshold,
        drawn,
    )
    right = trialled.known.own > trialled.known.best
    people = trialled.known.people
    instead = trialled.known.misidentified(policy.margin) >= policy.threshold
    return Evaluation(
        model=model,
        policy=policy,
        wanted_fpir=wanted_fpir,
        enrolled_people=len(gallery.owners),
        template_photos=len(templates) / len(gallery.owners),
        fnir=trialled.fnir(policy),
        misidentified=share_of(instead, people, drawn),
        rank_1=share_of(right, people, drawn),
        fpir=trialled.fpir(policy),
        fpir_unknown=searched.group("", "", ~trials.known, policy).fpir,
        fpir_left_out=searched.group("", "", trials.known, policy).fpir,
        wanted=[fnir_at(trialled, policy.margin, fpir) for fpir in FPIRS],
        pairs=pairs,
        groups=_groups(searched, policy),
        drawn_galleries=drawn_galleries(gallery, probes, policy.threshold, fitted),
        tail=fitted,
        larger=_larger(fitted, policy, wanted_fpir, gallery_size),
        recommendation=recommend(trialled, wanted_fpir, policy.margin) if enough else None,
        recommended_size=gallery_size,
        recommended_threshold=(
            fitted.threshold(wanted_fpir, gallery_size) if fitted and gallery_size else None
        ),
        sweep=sweep(trialled),
        det=_det(trialled, policy.margin, unknown_people),
        discards=_discards(searched, policy),
        confusions=_confusions(searched, policy),
    )


def _require_enough(roles: Roles) -> None:
    if not roles.enrolled:
        refused = ", ".join(f"{code} {count}" for code, count in roles.refusals.most_common())
        reason = (
            f"enrolment refuses all photos of the {len(roles.failed)} people with two or more "
            f"({refused})"
            if roles.failed
            else "no person has two photos; one is enrolled, another one is searched"
        )
        raise TooFewPeopleError(f"no person can be enrolled: {reason}")
    if not roles.probes:
        raise TooFewPeopleError(
            "there is nothing to search: no face in the other photos of the enrolled people"
        )
    if len(roles.enrolled) == 1 and not roles.unknown:
        raise TooFewPeopleError(
            "only one person can be enrolled, and there is no unknown one to search: add people"
        )


def _key(read: ReadPhoto) -> tuple[bool, str]:
    return read.photo.is_unknown, read.photo.person


def _numbered(
    roles: Roles, reads: Sequence[ReadPhoto]
) -> tuple[list[str], dict[tuple[bool, str], int]]:
    """Labels of all people, and each one's number."""
    keys = dict.fromkeys((False, person) for person in roles.enrolled)
    keys |= dict.fromkeys(_key(read) for read in reads)
    numbers = {key: number for number, key in enumerate(keys)}
    return [person for _, person in keys], numbers


def _face(read: ReadPhoto) -> DetectedFace:
    face = read.largest
    if face is None:  # photos without a face are searched nowhere, and enrolment refuses them
        raise ValueError(f"no face in {read.photo.path}")
    return face


def _weight(read: ReadPhoto) -> float:
    return template_weight(_face(read).quality) if read.weight is None else read.weight


def _embedding(read: ReadPhoto) -> npt.NDArray[np.float32]:
    return np.frombuffer(_face(read).embedding, "<f4").astype(np.float32)


def fnir_at(trialled: Trialled, margin: float, fpir: float) -> WantedFpir:
    """What an FPIR costs with a margin.

    Args:
        trialled: of at least one probe.
        margin: least lead over the runner-up.
        fpir: more than 0.
    """
    unknown, needed = trialled.named(margin).count, people_needed(fpir)
    if unknown < needed:
        return WantedFpir(fpir, None, unknown, needed)
    point = operating_point(trialled.accepted(margin), trialled.named(margin), fpir, trialled.drawn)
    return WantedFpir(fpir, point, unknown, needed)


def _groups(searched: _Searched, policy: MatchPolicy) -> list[Group]:
    cameras = np.array([read.photo.camera or "" for read in searched.reads])
    groups = []
    if len(set(cameras.tolist())) > 1:
        groups = [
            searched.group("camera", camera or "-", cameras == camera, policy)
            for camera in np.unique(cameras).tolist()
        ]
    quality = np.array([_face(read).quality for read in searched.reads])
    for low, high in pairwise(_QUALITY_BINS):
        chosen = (quality >= low) & ((quality < high) | (high == _QUALITY_BINS[-1]))
        groups.append(searched.group("quality", f"{low:.2f} to {high:.2f}", chosen, policy))
    return [one for one in groups if max(one.fnir.people, one.fpir.people) >= _LEAST_PEOPLE]


def _larger(
    fitted: FittedTail | None, policy: MatchPolicy, wanted: float, size: int | None
) -> list[LargerGallery]:
    if fitted is None:
        return []
    sizes = sorted({*SIZES, *([size] if size else [])})
    return [
        LargerGallery(one, fitted.fpir(policy.threshold, one), fitted.threshold(wanted, one))
        for one in sizes
    ]


def _det(trialled: Trialled, margin: float, unknown: int) -> DetCurve | None:
    lowest = people_needed(1) / max(unknown, 1)
    if lowest >= FPIRS[-1]:
        return None
    fpirs = np.geomspace(lowest, 0.5, _DET_POINTS)
    known, named = trialled.accepted(margin), trialled.named(margin)
    curve = curve_of(known, named, fpirs, trialled.drawn)
    intervals = [
        fnir_interval(curve, place, known, named, trialled.drawn) for place in range(len(fpirs))
    ]
    return DetCurve(
        fpirs.tolist(),
        curve.fnirs[0].tolist(),
        [low for low, _ in intervals],
        [high for _, high in intervals],
    )


def _discards(searched: _Searched, policy: MatchPolicy) -> list[Discard]:
    known = searched.trials.known
    missed = searched.trialled.known.accepted(policy.margin) < policy.threshold
    if missed.sum() < LEAST_ERRORS:
        return []
    faces = [_face(read) for read, is_known in zip(searched.reads, known, strict=True) if is_known]
    measures = {"quality": [face.quality for face in faces]} | {
        "detector score": [face.score for face in faces]
    }
    for name in _MEASURES:
        if not any(name in face.measures for face in faces):
            continue  # of faces of cameras, they are not stored
        sign = -1 if name == "asymmetry" else 1
        measures[name] = [sign * face.measures.get(name, 0.0) for face in faces]
    return [
        Discard(name, SHARES, error_versus_discard(missed, np.array(values, np.float64)))
        for name, values in measures.items()
    ]


def _confusions(searched: _Searched, policy: MatchPolicy) -> list[Confusion]:
    scores = searched.trials.named_wrongly(policy.margin)
    order = np.argsort(-scores, kind="stable")[:_CONFUSIONS]
    return [
        Confusion(
            str(searched.reads[place].photo.path),
            searched.reads[place].photo.person,
            searched.names[int(searched.trials.named[place])],
            float(scores[place]),
        )
        for place in order.tolist()
        if scores[place] >= policy.threshold
    ]


def settings_lines(evaluation: Evaluation) -> list[str]:
    """What to paste into ``.env``; nothing where there is too little data."""
    if evaluation.recommended_threshold is not None:
        threshold, margin = evaluation.recommended_threshold[0], evaluation.policy.margin
    elif evaluation.recommendation is not None:
        threshold = evaluation.recommendation.point.threshold
        margin = evaluation.recommendation.margin
    else:
        return []
    return [
        f"FECAPASS_MODELS__MATCH_THRESHOLD={rounded_up(threshold):.3f}",
        f"FECAPASS_MODELS__MATCH_MARGIN={margin:.2f}",
    ]


def rounded_up(threshold: float) -> float:
    """A threshold with three decimals, as it is set; its FPIR is not higher."""
    return ceil(threshold * 1000 - 1e-6) / 1000


def wanted_lines(evaluation: Evaluation) -> list[str]:
    """The same for a threshold that rises with the gallery."""
    if evaluation.tail is None:
        return []
    tail = evaluation.tail.tail
    return [
        f"FECAPASS_MODELS__MATCH_WANTED_FPIR={evaluation.wanted_fpir:g}",
        f"FECAPASS_MODELS__MATCH_IMPOSTOR_TAIL=[{tail.location:.4f},{tail.scale:.4f}]",
    ]
