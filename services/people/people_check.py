"""Mistakes of labels among the enrolled people: what to look at, and correct."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from config.settings import ModelSettings
from domain.user_errors import TooManyPhotosError
from ml.gallery.hygiene import PhotoRows, near_duplicates, outliers, too_alike
from ml.recognition.enrolment_policies import likeness_policy
from sinks.vector.templates.enrolled_photos import GalleryPhotos
from sinks.vector.vector_store import Vectors

#: Photos of one user this close are one picture, saved twice: of the labelled portraits two that
#: were taken separately have at most 0.95 (``python -m benchmarks enrolment``).
SAME_PICTURE = 0.97


@dataclass(frozen=True, slots=True)
class OutlyingPhoto:
    """A photo that does not resemble the other photos of its user.

    Attributes:
        user_id: the user.
        face_id: the enrolled face.
        similarity: cosine to the template of the user's other photos.
    """

    user_id: UUID
    face_id: UUID
    similarity: float


@dataclass(frozen=True, slots=True)
class SamePhotos:
    """Two photos of a user that are nearly one picture: the second one adds nothing.

    Attributes:
        user_id: the user.
        face_id: the one enrolled face.
        other_face_id: the other one.
        similarity: their cosine.
    """

    user_id: UUID
    face_id: UUID
    other_face_id: UUID
    similarity: float


@dataclass(frozen=True, slots=True)
class AlikeUsers:
    """Two users who are too alike: one person under two labels, or relatives.

    Attributes:
        user_id: the one user.
        other_user_id: the other one.
        similarity: cosine of their templates.
    """

    user_id: UUID
    other_user_id: UUID
    similarity: float


@dataclass(frozen=True, slots=True)
class PeopleCheck:
    """What a check of the gallery has found, the worst first.

    Attributes:
        model: id of the embedder whose gallery it is.
        users: number of users in it.
        photos: number of their photos.
        outliers: photos unlike the others of their user; of two photos, both.
        near_duplicates: pairs of photos that are nearly the same.
        alike: pairs of users who resemble each other.
    """

    model: str
    users: int
    photos: int
    outliers: list[OutlyingPhoto]
    near_duplicates: list[SamePhotos]
    alike: list[AlikeUsers]


async def check_people(
    vectors: Vectors, model: str, settings: ModelSettings, most: int | None = None
) -> PeopleCheck:
    """Compare all photos of a gallery with each other; users who are deactivated are left out.

    It takes seconds for ten thousand users, and grows with the square of their number.

    Args:
        vectors: the vector database.
        model: id of the embedder.
        settings: the limits of enrolment.
        most: number of photos beyond which nothing is compared; None: no limit.

    Raises:
        TooManyPhotosError: there are more.
        StoreUnavailable: the vector database is unavailable.
    """
    if most is not None and (photos := await vectors.count_photos(model)) > most:
        raise TooManyPhotosError(photos, most)
    found = await vectors.gallery_photos(model)
    return await asyncio.to_thread(_check, found, model, settings)


def _check(found: GalleryPhotos, model: str, settings: ModelSettings) -> PeopleCheck:
    limits = likeness_policy(model, settings.model_copy(update={"enrol_compare": True}))
    if limits is None or not found.user_ids:
        return PeopleCheck(model, 0, 0, [], [], [])
    numbers: dict[UUID, int] = {}
    of_photo = [numbers.setdefault(user_id, len(numbers)) for user_id in found.user_ids]
    users = list(numbers)
    photos = PhotoRows(found.embeddings, np.array(of_photo, np.int64), found.weights)
    return PeopleCheck(
        model,
        len(users),
        len(found.user_ids),
        [
            OutlyingPhoto(found.user_ids[one.photo], found.face_ids[one.photo], one.similarity)
            for one in outliers(photos, limits.own)
        ],
        [
            SamePhotos(
                found.user_ids[pair.one],
                found.face_ids[pair.one],
                found.face_ids[pair.other],
                pair.similarity,
            )
            for pair in near_duplicates(photos, SAME_PICTURE)
        ],
        [
            AlikeUsers(users[pair.one], users[pair.other], pair.similarity)
            for pair in too_alike(photos.templates(), limits.another)
        ],
    )
