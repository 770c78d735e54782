"""Each enrolled photo is a probe, while the person's other photos are enrolled. Pure."""

from dataclasses import replace

import numpy as np

from domain.arrays import FloatArray
from ml.evaluation.open_set import Floats, Ints, Probes, fused, search
from ml.evaluation.recommendation import Trialled


def photos_left_out(embeddings: FloatArray, people: Ints, drawn: Floats) -> Trialled:
    """Search each photo twice: with its person's other photos in the gallery, and without them.

    The templates of all other people are of all their photos. The only photo of a person is a probe
    of an unknown person alone.

    Args:
        embeddings: float32 (N, D) of length 1, at least one.
        people: (N,); whose each one is, as columns of the draws.
        drawn: from `people_bootstrap.draw_people`.
    """
    probes = Probes(embeddings, people, np.ones(len(people), bool))
    trials, _ = search(fused(embeddings, people), probes)
    trials = replace(trials, own=_own(embeddings, people))
    return Trialled(trials.of(trials.known), trials, np.arange(drawn.shape[1]), drawn)


def _own(embeddings: FloatArray, people: Ints) -> Floats:
    """(N,): cosine to the template of the person's other photos; -inf where there is none."""
    sums = np.zeros((int(people.max()) + 1, embeddings.shape[1]), np.float64)
    np.add.at(sums, people, embeddings)
    others = sums[people] - embeddings
    lengths = np.linalg.norm(others, axis=1)
    cosines = (others * embeddings).sum(axis=1) / np.where(lengths > 0, lengths, 1)
    return np.where(np.bincount(people)[people] > 1, cosines, -np.inf)
