"""Embedders that replace one another: what is stored of each, and which change is allowed. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from domain.decisions.matching import MatchPolicy


class ModelState(StrEnum):
    """What an embedder is used for."""

    #: Templates are kept for it, and nothing is decided by it.
    SHADOW = "shadow"
    #: It decides.
    SERVING = "serving"
    #: Nothing more is embedded by it.
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class EmbedderFile:
    """What has to be known to load an embedder.

    Attributes:
        kind: ``sface``, the built-in one, or ``arcface``.
        sha256: of the file; None for the built-in one.
        mean: subtracted from RGB values 0 to 255.
        deviation: divisor after that.
        mirror: whether the mirror image is embedded, too.
    """

    kind: str
    sha256: str | None
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    mirror: bool


@dataclass(frozen=True, slots=True)
class StoredModel:
    """An embedder of the table ``models``.

    Attributes:
        id: as with each of its embeddings.
        file: how it is loaded.
        dimension: of its embeddings.
        state: what it is used for.
        added_at: when it was added.
        changed_at: when the row was changed last.
        served_at: when it began to serve, the last time; None if it never has.
        threshold: least cosine of a match; None: as the settings say.
        margin: least lead over the runner-up; None: as the settings say.
    """

    id: str
    file: EmbedderFile
    dimension: int
    state: ModelState
    added_at: datetime
    changed_at: datetime
    served_at: datetime | None = None
    threshold: float | None = None
    margin: float | None = None


def served_policy(model: StoredModel | None, usual: MatchPolicy) -> MatchPolicy:
    """When similarities of a model are a match: as it was served with, else as is usual.

    A threshold that rises with the gallery does so from the one that the model serves with.

    Args:
        model: its row; None where it has none.
        usual: what counts where the row says nothing.
    """
    if model is None:
        return usual
    return replace(
        usual,
        threshold=usual.threshold if model.threshold is None else model.threshold,
        margin=usual.margin if model.margin is None else model.margin,
    )


@dataclass(frozen=True, slots=True)
class ModelsNow:
    """Which embedder decides, and which others embed what is enrolled: what workers follow.

    Attributes:
        as_of: when the last change was made, by the clock of the database; a worker ignores what
            is older than what it knows.
        serving: id of the embedder that decides; None: that of the worker's settings.
        embedders: by id, those that serve or are shadows.
    """

    as_of: datetime
    serving: str | None
    embedders: dict[str, EmbedderFile]


def models_now(models: Iterable[StoredModel]) -> ModelsNow | None:
    """What workers follow; None where no model was added, and the settings decide."""
    every = list(models)
    if not every:
        return None
    serving = [one.id for one in every if one.state is ModelState.SERVING]
    return ModelsNow(
        as_of=max(one.changed_at for one in every),
        serving=serving[0] if serving else None,
        embedders={one.id: one.file for one in every if one.state is not ModelState.RETIRED},
    )


@dataclass(frozen=True, slots=True)
class ModelGate:
    """What a model must reach before it should serve.

    Attributes:
        fpir: at which both models are compared, more than 0.
        least_coverage: share of the enrolled photos that it must have embedded, 0 to 1.
        most_confused: most pairs of a user and another one, for whom only this model takes the
            user.
        most_live_confused: largest share of the users' live faces that it takes for another user.
    """

    fpir: float = 0.01
    least_coverage: float = 1.0
    most_confused: int = 0
    most_live_confused: float = 0.01


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """What was measured of a model, for the gate.

    Attributes:
        users_without: number of users who are matched by the model that serves, and have no
            template of this one.
        photos: number of enrolled photos.
        embedded: of these, how many this model has embedded.
        confused: number of pairs of a user and another one, for whom only this model takes the
            user.
        fnir: at the gate's FPIR; None where there is too little data.
        highest_fnir: upper end of the 95 % interval of that of the model that serves; None with it.
        people: number of users with a photo that both models have embedded.
        searched: of these, how many have several.
        people_needed: for the gate's FPIR.
        live_confused: lower end of the 95 % interval of the share of the users' live faces that
            this model takes for another user; 0 where no live face was compared.
    """

    users_without: int
    photos: int
    embedded: int
    confused: int
    fnir: float | None
    highest_fnir: float | None
    people: int
    searched: int
    people_needed: int
    live_confused: float = 0.0


def gate_failures(found: ComparedModel, gate: ModelGate) -> list[str]:
    """Why a model should not serve yet; nothing where it may.

    Args:
        found: what was measured of it.
        gate: what it must reach.
    """
    failures = []
    if found.users_without:
        failures.append(f"users without a template of it: {found.users_without}")
    if found.embedded < gate.least_coverage * found.photos:
        failures.append(f"it has embedded {found.embedded} of {found.photos} photos")
    if found.confused > gate.most_confused:
        failures.append(f"users taken for another one by it alone: {found.confused}")
    if found.live_confused > gate.most_live_confused:
        failures.append(
            f"of the users' live faces it takes at least {100 * found.live_confused:.1f} % for "
            "another user"
        )
    if not found.searched:
        failures.append("too little data: no user has two photos that both models have embedded")
    elif found.fnir is None or found.highest_fnir is None:
        failures.append(
            f"too little data for an FPIR of {gate.fpir:.3g}: {found.people} of "
            f"{found.people_needed} users; a higher --fpir needs fewer"
        )
    elif found.fnir > found.highest_fnir:
        failures.append(
            f"its FNIR of {100 * found.fnir:.1f} % at an FPIR of {100 * gate.fpir:.3g} % is above "
            f"the interval of the model that serves, up to {100 * found.highest_fnir:.1f} %"
        )
    return failures


class ModelChangeError(ValueError):
    """A change of the models that is not allowed; the message says why."""
