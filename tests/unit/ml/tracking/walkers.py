"""People who walk through a picture, as a detector and an embedder see them."""

from dataclasses import dataclass
from uuid import UUID, uuid4

import numpy as np

from ml.tracking.paths import FollowPolicy, Paths, follow
from ml.tracking.seen_faces import SeenFace
from ml.tracking.tracks import EmbeddedFace, TrackPolicy, settle

DIMENSION = 32
NAMESPACE = UUID(int=7)
FOLLOW, TRACKS = FollowPolicy(), TrackPolicy()


def unit(values):
    return (values / np.linalg.norm(values)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Walker:
    """A person with an embedding and a look of their own, and a place that depends on the time."""

    name: int
    start: tuple[float, float]
    velocity: tuple[float, float] = (0.0, 0.0)
    size: float = 100.0
    quality: float = 0.8

    def box(self, at):
        x, y = np.array(self.start) + np.array(self.velocity) * at
        return np.array([x, y, self.size, self.size], np.float32)

    def seen(self, at):
        look = np.random.default_rng(self.name).normal(size=256)
        return SeenFace(self.box(at), np.zeros((5, 2), np.float32), 0.9, self.quality, unit(look))

    def embedded(self, noise=0.0, rng=None):
        own = np.random.default_rng(1000 + self.name).normal(size=DIMENSION)
        if noise:
            own = unit(own) + noise * unit(rng.normal(size=DIMENSION))
        return EmbeddedFace(uuid4(), unit(own), self.quality, reliable=True)


class Camera:
    """Follows and settles frame by frame; keeps what was embedded and who each track is."""

    def __init__(self):
        self.paths, self.tracks = Paths(), {}
        self.embedded = 0

    def frame(self, at, walkers, noise=0.0, rng=None):
        """The track of each walker."""
        self.paths, steps = follow(self.paths, at, [one.seen(at) for one in walkers], FOLLOW)
        due = {
            index: walkers[index].embedded(noise, rng)
            for index, step in enumerate(steps)
            if step.due
        }
        self.embedded += len(due)
        self.tracks, tracks = settle(self.tracks, steps, due, TRACKS, NAMESPACE)
        return tracks
