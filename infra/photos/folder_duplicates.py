"""Folders that show the same person, found before anything is enrolled."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from config.settings import ModelSettings
from domain.decisions.enrolment import ChosenFace, choose_face
from domain.decisions.template_weight import template_weight
from infra.evaluation.labelled_photos import LabelledPhoto
from infra.evaluation.photo_faces import read_photos
from infra.photos.photo_folders import Person
from ml.gallery.hygiene import PhotoRows, too_alike
from ml.recognition.enrolment_policies import enrolment_policy, likeness_policy
from ml.recognition.face_analyser import build_analyser


@dataclass(frozen=True, slots=True)
class SamePeople:
    """Two folders whose templates would be alike.

    Attributes:
        one: the first one.
        other: the second one.
        similarity: cosine of the two templates.
    """

    one: Person
    other: Person
    similarity: float


def same_people(
    people: Sequence[Person],
    settings: ModelSettings,
    progress: Callable[[Sequence[LabelledPhoto]], Iterator[LabelledPhoto]] = iter,
) -> list[SamePeople]:
    """Pairs of people who look like one, most similar first; photos that are refused do not count.

    Args:
        people: with their photos.
        settings: the models, and the rules of enrolment.
        progress: goes over the photos.

    Raises:
        ModelError: a model is missing or altered.
    """
    analyser = build_analyser(settings)
    likeness = likeness_policy(analyser.embedder.id, settings)
    if likeness is None:
        return []
    rules = enrolment_policy(settings)
    labelled = [
        LabelledPhoto(path, str(number), None, is_unknown=False)
        for number, person in enumerate(people)
        for path in person.photos
    ]
    chosen = [
        (int(read.photo.person), found.face)
        for read in read_photos(labelled, analyser, settings, progress)
        if isinstance(found := choose_face(read.faces, rules, read.size), ChosenFace)
    ]
    if not chosen:
        return []
    numbers, users = np.unique([number for number, _ in chosen], return_inverse=True)
    photos = PhotoRows(
        np.stack([np.frombuffer(face.embedding, "<f4") for _, face in chosen]),
        users.astype(np.int64),
        np.array([template_weight(face.quality) for _, face in chosen]),
    )
    return [
        SamePeople(people[numbers[one]], people[numbers[other]], similarity)
        for one, other, similarity in too_alike(photos.templates(), likeness.another)
    ]
