"""Faces of which a person has said that they are not a user, in memory; of one model."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import numpy as np

from domain.arrays import FloatArray
from domain.decisions.matching import Candidate


class VetoedFaces:
    """Embeddings by the user whose they are not. Immutable; safe for use by several threads."""

    def __init__(self, vetoes: Sequence[tuple[UUID, FloatArray]] = ()) -> None:
        """Take the vetoes.

        Args:
            vetoes: each user with the embedding of a face that is not this user, float32 (D,) of
                length 1.
        """
        rows: defaultdict[UUID, list[FloatArray]] = defaultdict(list)
        for user_id, embedding in vetoes:
            rows[user_id].append(embedding)
        self._faces = {user_id: np.stack(faces) for user_id, faces in rows.items()}

    def __len__(self) -> int:
        return sum(len(faces) for faces in self._faces.values())

    def marked(
        self, probes: FloatArray, candidates: Sequence[Sequence[Candidate]]
    ) -> list[list[Candidate]]:
        """The candidates of probes, each with the cosine of the closest face that is not the user.

        Args:
            probes: float32 (M, D) of length 1.
            candidates: of each probe.
        """
        if not self._faces:
            return [list(of_probe) for of_probe in candidates]
        return [
            [self._marked(probe, one) for one in of_probe]
            for probe, of_probe in zip(probes, candidates, strict=True)
        ]

    def _marked(self, probe: FloatArray, candidate: Candidate) -> Candidate:
        faces = self._faces.get(candidate.user_id)
        if faces is None or faces.shape[1] != len(probe):
            return candidate
        return replace(candidate, veto=float((faces @ probe).max()))
