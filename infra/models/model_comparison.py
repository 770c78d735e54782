"""Compares a further embedder with the one that serves, on the enrolled photos. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt

from domain.decisions.matching import MatchPolicy
from domain.decisions.model_change import ComparedModel, ModelGate, gate_failures
from infra.evaluation.evaluation import FPIRS, WantedFpir, fnir_at, rounded_up
from infra.models.live_agreement import LiveAgreement
from ml.evaluation.leave_one_out import photos_left_out
from ml.evaluation.open_set import Ints, Trials
from ml.evaluation.people_bootstrap import Estimate, draw_people, share_of
from ml.evaluation.recommendation import Recommendation, Trialled, recommend
from sinks.vector.copied_embeddings import TemplatesOfBoth


@dataclass(frozen=True, slots=True)
class JudgedModel:
    """A model, and when its similarities are a match.

    Attributes:
        id: of the embedder.
        policy: threshold and margin.
    """

    id: str
    policy: MatchPolicy


@dataclass(frozen=True, slots=True)
class ModelErrors:
    """Error rates of a model; shares are 0 to 1, intervals 95 %.

    Attributes:
        model: id of the embedder.
        threshold: that the rates are for.
        margin: that the rates are for.
        fnir: of the photos of users with other photos.
        rank_1: of these, the share whose own template is the best one.
        fpir: of all photos, each searched without its user.
        at_fpirs: FNIR by FPIR at this margin; the first one is the gate's.
    """

    model: str
    threshold: float
    margin: float
    fnir: Estimate
    rank_1: Estimate
    fpir: Estimate
    at_fpirs: list[WantedFpir]


@dataclass(frozen=True, slots=True)
class Confused:
    """A user who is taken for another one by the new model.

    Attributes:
        user_id: whose photo it is.
        taken_for: the other user.
        similarity: of the photo with the other user's template.
        by_both: whether the model that serves does so, too.
    """

    user_id: UUID
    taken_for: UUID
    similarity: float
    by_both: bool


@dataclass(frozen=True, slots=True)
class ModelReport:
    """How a new model compares.

    Attributes:
        users: number of users in the gallery of the model that serves.
        users_without: of these, those without a template of the new one.
        photos: their number of photos.
        embedded: of these, how many the new model has embedded, too; the rest is about these.
        serving: error rates of the model that serves, as it serves.
        new: of the new one, at the proposed threshold and margin; where there is too little data
            for these, at the present ones.
        agreement: share of the photos of users with other photos, for which both models have the
            same best candidate.
        proposal: threshold and margin of the new model for the gate's FPIR; None where there is too
            little data.
        lost: users of whom the model that serves finds a photo, and the new one finds none.
        confused: the most similar ones first.
        failures: why the model is below the gate; empty where it is not.
        live: what the new one said of live faces; None where nothing was counted.
    """

    users: int
    users_without: list[UUID]
    photos: int
    embedded: int
    serving: ModelErrors
    new: ModelErrors
    agreement: Estimate
    proposal: Recommendation | None
    lost: list[UUID]
    confused: list[Confused]
    failures: list[str]
    live: LiveAgreement | None = None


def compare(  # noqa: PLR0913 - what a report is made of
    photos: TemplatesOfBoth,
    users_without: Sequence[UUID],
    serving: JudgedModel,
    new: JudgedModel,
    gate: ModelGate,
    *,
    live: LiveAgreement | None = None,
) -> ModelReport:
    """Search each photo with both models, and count.

    Args:
        photos: at least one that both have embedded; first as the model that serves.
        users_without: users without a template of the new model.
        serving: the model that serves.
        new: the other one, with the policy that counts where no other can be proposed.
        gate: what the new one must reach.
        live: what it said of live faces; None where nothing was counted.
    """
    ids, people = _numbered(photos.user_ids)
    drawn = draw_people(np.bincount(people) > 1)
    before = photos_left_out(photos.first, people, drawn)
    after = photos_left_out(photos.second, people, drawn)
    reference = fnir_at(before, serving.policy.margin, gate.fpir)
    searched = len(np.unique(before.known.people))
    enough = reference.point is not None and searched > 0
    proposal = recommend(after, gate.fpir, new.policy.margin) if enough else None
    policy = new.policy if proposal is None else _policy(proposal)
    confused = _confused(ids, (before, serving.policy), (after, policy))
    highest = None if reference.point is None else reference.point.fnir_interval[1]
    measured = ComparedModel(
        users_without=len(users_without),
        photos=photos.photos,
        embedded=len(people),
        confused=sum(not one.by_both for one in confused),
        fnir=None if proposal is None else proposal.point.fnir,
        highest_fnir=highest,
        people=len(ids),
        searched=searched,
        people_needed=reference.needed_people,
        live_confused=0.0 if live is None else live.confused.low,
    )
    return ModelReport(
        users=photos.users,
        users_without=list(users_without),
        photos=photos.photos,
        embedded=len(people),
        serving=_errors(before, serving, gate.fpir),
        new=_errors(after, JudgedModel(new.id, policy), gate.fpir),
        agreement=share_of(_best(before.known) == _best(after.known), before.known.people, drawn),
        proposal=proposal,
        lost=[ids[place] for place in _lost((before, serving.policy), (after, policy))],
        confused=confused,
        failures=gate_failures(measured, gate),
        live=live,
    )


def _numbered(user_ids: Sequence[UUID]) -> tuple[list[UUID], Ints]:
    """The users, and for each photo the place of its user."""
    places = {user: place for place, user in enumerate(sorted(set(user_ids)))}
    return list(places), np.array([places[user] for user in user_ids], np.int64)


def _policy(proposal: Recommendation) -> MatchPolicy:
    return MatchPolicy(min(rounded_up(proposal.point.threshold), 1.0), proposal.margin)


def _errors(trialled: Trialled, model: JudgedModel, fpir: float) -> ModelErrors:
    policy, known = model.policy, trialled.known
    at_fpirs = sorted({fpir, *FPIRS}, key=lambda one: (one != fpir, one))
    return ModelErrors(
        model.id,
        policy.threshold,
        policy.margin,
        trialled.fnir(policy),
        share_of(known.own > known.best, known.people, trialled.drawn),
        trialled.fpir(policy),
        [fnir_at(trialled, policy.margin, one) for one in at_fpirs if len(known.people)],
    )


def _best(trials: Trials) -> Ints:
    """The best candidate of each probe."""
    return np.where(trials.own > trials.best, trials.people, trials.named)


Judged = tuple[Trialled, MatchPolicy]


def _found(judged: Judged) -> npt.NDArray[np.bool_]:
    trialled, policy = judged
    return trialled.known.accepted(policy.margin) >= policy.threshold


def _lost(before: Judged, after: Judged) -> list[int]:
    people = before[0].known.people
    found, still = (set(people[_found(one)].tolist()) for one in (before, after))
    return sorted(found - still)


def _pairs(judged: Judged) -> dict[tuple[int, int], float]:
    """By user and the one who is found instead, the highest similarity."""
    trialled, policy = judged
    scores = trialled.known.misidentified(policy.margin)
    pairs: dict[tuple[int, int], float] = defaultdict(lambda: -1.0)
    for place in np.flatnonzero(scores >= policy.threshold).tolist():
        pair = int(trialled.known.people[place]), int(trialled.known.named[place])
        pairs[pair] = max(pairs[pair], float(scores[place]))
    return pairs


def _confused(ids: Sequence[UUID], before: Judged, after: Judged) -> list[Confused]:
    known = _pairs(before)
    found = sorted(_pairs(after).items(), key=lambda one: (-one[1], one[0]))
    return [
        Confused(ids[user], ids[other], similarity, (user, other) in known)
        for (user, other), similarity in found
    ]
