"""What a model in shadow said of live faces, as shares with intervals. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from domain.decisions.shadow_frames import ShadowCount
from ml.evaluation.people_bootstrap import Estimate, draw_people, share_of
from sinks.main.models.shadow_counts import CountedHour

#: Hours of cameras that the bootstrap draws; where there are more, it draws some together.
MOST_BLOCKS = 1000


@dataclass(frozen=True, slots=True)
class LiveAgreement:
    """How a model's answers compare with those of the model that serves, on live faces.

    Of each estimate, ``people`` is the number of hours of cameras, and ``probes`` that of faces:
    the faces of an hour are alike, so the bootstrap is over hours.

    Attributes:
        since: the first hour.
        cameras: number of cameras.
        count: all faces.
        embedded: of the faces in shadow, those that the model has embedded.
        covered: of the users' faces, those whose user has a template of it.
        same_best: of these faces, those whose user is its best candidate.
        found: of these faces, those of which it decides the same.
        confused: of these faces, those that it takes for another user.
        taken: of unknown people's faces, those that it takes for a user.
    """

    since: datetime
    cameras: int
    count: ShadowCount
    embedded: Estimate
    covered: Estimate
    same_best: Estimate
    found: Estimate
    confused: Estimate
    taken: Estimate


def live_agreement(hours: Sequence[CountedHour]) -> LiveAgreement | None:
    """The shares of all hours; None where nothing was counted.

    Args:
        hours: by camera and hour.
    """
    if not hours:
        return None
    counts = [one.count for one in hours]
    blocks = min(len(hours), MOST_BLOCKS)
    block_of = np.arange(len(hours)) * blocks // len(hours)
    drawn = draw_people(np.ones(blocks, np.bool_))

    def share(parts: Sequence[int], wholes: Sequence[int]) -> Estimate:
        part, whole = np.array(parts), np.array(wholes)
        runs = np.stack([part, whole - part], axis=1).ravel()
        hits = np.repeat(np.tile([True, False], len(counts)), runs)
        return share_of(hits, np.repeat(block_of, whole), drawn)

    known = [one.known for one in counts]
    return LiveAgreement(
        since=min(one.hour for one in hours),
        cameras=len({one.camera_id for one in hours}),
        count=ShadowCount.total(counts),
        embedded=share([one.embedded for one in counts], [one.faces for one in counts]),
        covered=share([one.covered for one in counts], known),
        same_best=share([one.same_best for one in counts], known),
        found=share([one.found for one in counts], known),
        confused=share([one.confused for one in counts], known),
        taken=share([one.taken for one in counts], [one.embedded - one.known for one in counts]),
    )
