"""Clips of one person each as visits of unknown people, by the models and rules of the product."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import numpy as np

from benchmarks.load.frames import Picture
from benchmarks.unknowns.crowd import Crowd
from benchmarks.visits.clip_labels import SIGNERS
from benchmarks.visits.detected_scenes import load_clips
from domain.decisions.grouping import GroupingPolicy, VisitEvidence, visit_embedding
from domain.store_rows import Embedding
from ml.recognition.face_analyser import Analyser

#: Visits of a clip, one after the other, and the frames of which one is looked at.
_VISITS, _EVERY = 3, 5


def clip_crowd(analyser: Analyser, shared: Path, policy: GroupingPolicy) -> Crowd:
    """Each third of a clip is a visit of its signer; only those with enough good faces.

    Args:
        analyser: the models.
        shared: folder with the labelled clips.
        policy: how many faces a visit needs, and how good they are.

    Raises:
        OSError: a clip is absent.
    """
    clips = load_clips(shared)
    names = sorted(set(SIGNERS.values()))
    visits: list[Embedding] = []
    people: list[int] = []
    for clip, signer in SIGNERS.items():
        for part in np.array_split(np.arange(len(clips[clip])), _VISITS):
            frames = [clips[clip][place] for place in part[::_EVERY].tolist()]
            embedding = _visit(analyser, frames, policy)
            if embedding is not None:
                visits.append(embedding)
                people.append(names.index(signer))
    return Crowd(np.stack(visits), np.array(people)).shuffled(0)


def _visit(
    analyser: Analyser, frames: Sequence[Picture], policy: GroupingPolicy
) -> Embedding | None:
    """The embedding of a visit, as the unknowns agent makes it."""
    found = [max(faces, key=lambda one: one.box[2]) for faces in analyser.analyse(frames) if faces]
    evidence = [
        VisitEvidence(UUID(int=number), face.quality.score, face.embedding)
        for number, face in enumerate(found)
        if face.quality.reliable
    ]
    return visit_embedding(evidence, policy) if len(evidence) >= policy.min_faces else None
