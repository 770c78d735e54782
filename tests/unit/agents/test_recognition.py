from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pytest

from agents.identify import effects
from agents.identify.recognition import Recogniser
from domain.decisions.matching import MatchPolicy
from domain.events import DetectedFace, DetectedFaces, EventKind, ImageEvent
from ml.gallery.exact_search import Gallery

POLICY = MatchPolicy(threshold=0.4, margin=0.05)
AXES = np.eye(8, dtype=np.float32)
ADA, BEA, CID = (UUID(int=number) for number in (1, 2, 3))
ADA_RATHER_THAN_BEA = np.array([0.8, 0.6, 0, 0, 0, 0, 0, 0], np.float32)


class OneGallery:
    """The gallery of every model."""

    def __init__(self):
        self.gallery = Gallery("m", 8)
        self.gallery.apply([(ADA, AXES[0]), (BEA, AXES[1]), (CID, AXES[2])])
        self.searches = 0

    async def get(self, _model: str, _dimension: int) -> Gallery:
        self.searches += 1
        return self.gallery


def image(*embeddings: np.ndarray, kind=EventKind.FRAME, reliable: Sequence[bool] = (), model="m"):
    event = ImageEvent(
        kind=kind, source="s", id="e", key="k", captured_at=datetime(2026, 5, 4, tzinfo=UTC)
    )
    faces = tuple(
        DetectedFace(
            box=(1, 2, 3, 4), landmarks=tuple(map(float, range(10))), score=0.9, quality=0.8,
            embedding=embedding.tobytes(), crop=b"jpeg",
            reliable=reliable[number] if reliable else True,
        )
        for number, embedding in enumerate(embeddings)
    )  # fmt: skip
    return DetectedFaces(event=event, model=model, width=9, height=9, faces=faces)


async def search(*images):
    galleries = OneGallery()
    with ThreadPoolExecutor(1) as executor:
        recogniser = Recogniser(galleries, lambda _: POLICY, executor)
        return await recogniser.search(images), galleries


async def test_each_face_of_a_batch_gets_its_own_decision():
    images = [
        image(AXES[2], AXES[7]),
        image(),
        image(AXES[0], AXES[0], reliable=[True, False]),
    ]
    searched, galleries = await search(*images)
    assert galleries.searches == 1
    assert [one.found for one in searched] == images
    found = [recognition for one in searched for recognition in one.decide()]
    assert [(one.decision.user_id, one.decision.reason) for one in found] == [
        (CID, "matched"),
        (None, "below_threshold"),
        (ADA, "matched"),
        (None, "unreliable"),
    ]
    assert found[3].decision.similarity == pytest.approx(1.0)
    assert found[0].candidates[0].user_id == CID
    assert len(found[0].candidates) == 3


async def test_each_model_is_searched_in_its_own_gallery():
    searched, galleries = await search(
        image(AXES[0]), image(AXES[1], model="other"), image(AXES[2])
    )
    assert galleries.searches == 2
    decided = {one.decide()[0].decision.user_id: one.found.model for one in searched}
    assert decided == {ADA: "m", CID: "m", BEA: "other"}


async def test_a_frame_may_name_whom_it_may_match_and_a_search_every_candidate():
    (frame, photo), _ = await search(
        image(ADA_RATHER_THAN_BEA), image(ADA_RATHER_THAN_BEA, kind=EventKind.SEARCH)
    )
    assert frame.could_name() == {ADA, BEA}
    assert photo.could_name() == {ADA, BEA, CID}


def named_in(one):
    """All users in the effects of an event."""
    users = {row.match.user_id for row in one.result.faces} | set(one.result.people)
    users |= {match.user_id for match in one.matches} | {
        sighting.user_id for sighting in one.sightings
    }
    for face in one.answer.faces if one.answer else ():
        users |= {face.user_id, *(candidate.user_id for candidate in face.candidates)}
    return users - {None}


async def test_a_face_taken_for_an_erased_user_is_an_unknowns_without_a_crop():
    """The gallery is a moment old. Who lost to the erased user by the margin is not named."""
    (frame,), _ = await search(image(ADA_RATHER_THAN_BEA, AXES[1]))
    whole, without = (effects.of_image(frame, erased) for erased in ((), {ADA}))
    assert [match.user_id for match in whole.matches] == [ADA, BEA]
    assert [match.user_id for match in without.matches] == [None, BEA]
    assert [match.decision for match in without.matches] == ["below_threshold", "matched"]
    assert [row.match for row in without.result.faces] == list(without.matches)
    (key, _), kept = whole.crops
    assert without.crops == [kept]
    assert without.deleted_crops == [key]
    assert without.matches[0].crop_key is None
    assert [sighting.user_id for sighting in without.sightings] == [None, BEA]


async def test_the_answer_to_a_search_names_no_erased_user():
    (photo,), _ = await search(image(ADA_RATHER_THAN_BEA, kind=EventKind.SEARCH))
    assert named_in(effects.of_image(photo, ())) == {ADA, BEA, CID}
    without = effects.of_image(photo, {ADA})
    assert named_in(without) == {BEA, CID}
    assert without.answer.faces[0].decision == "below_threshold"
    assert without.matches[0].similarity == pytest.approx(0.6)
    nobody = effects.of_image(photo, {ADA, BEA, CID})
    assert named_in(nobody) == set()
    assert nobody.answer.faces[0].decision == "empty_gallery"
