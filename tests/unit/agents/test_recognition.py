from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pytest
from msgspec import structs

from agents.identify import effects
from agents.identify.recognition import Recogniser
from domain.decisions.gallery_threshold import ImpostorTail
from domain.decisions.matching import MatchPolicy, WantedFpir
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


async def search(*images, policy=POLICY):
    galleries = OneGallery()
    with ThreadPoolExecutor(1) as executor:
        recogniser = Recogniser(galleries, lambda _: policy, executor)
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


async def test_the_threshold_is_that_of_the_gallery_s_size():
    tail = ImpostorTail(0.5, 0.1)
    wanted = WantedFpir(0.05, tail)
    (frame,), _ = await search(image(AXES[0]), policy=MatchPolicy(0.4, 0.05, wanted))
    assert frame.policy == MatchPolicy(tail.threshold(0.05, 3), 0.05)


async def test_a_frame_may_name_whom_it_may_match_and_a_search_every_candidate():
    (frame, photo), _ = await search(
        image(ADA_RATHER_THAN_BEA), image(ADA_RATHER_THAN_BEA, kind=EventKind.SEARCH)
    )
    assert frame.could_name() == {ADA, BEA}
    assert photo.could_name() == {ADA, BEA, CID}


async def test_a_frame_may_name_the_best_candidate_of_an_unknown():
    strict = MatchPolicy(0.95, 0.05)
    (frame,), _ = await search(image(ADA_RATHER_THAN_BEA), policy=strict)
    assert frame.could_name() == {ADA}
    seen = effects.of_image(frame, ())
    assert [(one.user_id, one.candidate_id) for one in seen.matches] == [(None, ADA)]
    assert seen.result.faces[0].match == seen.matches[0]
    erased = effects.of_image(frame, {ADA})
    assert [(one.user_id, one.candidate_id) for one in erased.matches] == [(None, BEA)]
    assert named_in(erased) == {BEA}


async def test_the_match_of_a_search_has_the_best_candidate_of_its_answer():
    strict = MatchPolicy(0.95, 0.05)
    (photo,), _ = await search(
        image(ADA_RATHER_THAN_BEA, AXES[0], kind=EventKind.SEARCH), policy=strict
    )
    found = effects.of_image(photo, ())
    assert [(one.user_id, one.candidate_id) for one in found.matches] == [(None, ADA), (ADA, None)]


def named_in(one):
    """All users in the effects of an event."""
    users = {row.match.user_id for row in one.result.faces} | set(one.result.people)
    users |= {match.user_id for match in one.matches} | {
        sighting.user_id for sighting in one.sightings
    }
    users |= {match.candidate_id for match in one.matches}
    users |= {row.match.candidate_id for row in one.result.faces}
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


async def test_the_embeddings_of_a_search_are_kept_only_where_sightings_are_wanted():
    plain = image(AXES[0], AXES[1], kind=EventKind.SEARCH)
    wanted = structs.replace(plain, event=structs.replace(plain.event, subject="sightings"))
    frame = image(AXES[0])
    frame = structs.replace(frame, event=structs.replace(frame.event, subject="sightings"))
    (one, other, third), _ = await search(plain, wanted, frame)
    assert effects.of_image(one, ()).probes == effects.of_image(third, ()).probes == {}
    found = effects.of_image(other, ())
    assert list(found.probes) == [face.face_id for face in found.answer.faces]
    assert [one.model for one in found.probes.values()] == [plain.model] * 2
    assert [one.embedding for one in found.probes.values()] == [
        face.embedding for face in plain.faces
    ]
    assert found.sightings == ()


async def kept(*embeddings, snapshot=b"frame", erased=()):
    """The effects of a frame with a snapshot, and the key of that."""
    found = structs.replace(image(*embeddings), snapshot=snapshot)
    (searched,), _ = await search(found)
    return effects.of_image(searched, set(erased)), f"snapshots/k/2026/05/04/{found.event.uuid}.jpg"


async def test_a_snapshot_is_stored_beside_the_crops_of_its_frame():
    found, key = await kept(AXES[0], AXES[7])
    assert found.result.snapshot_key == key
    assert [name.partition("/")[0] for name, _ in found.pictures] == ["crops", "crops", "snapshots"]
    assert found.pictures[-1] == (key, b"frame")
    without, _ = await kept(AXES[0], snapshot=b"")
    assert (without.result.snapshot_key, len(without.pictures)) == (None, 1)


async def test_a_frame_that_shows_an_erased_user_is_not_kept_and_deleted_if_it_was():
    found, key = await kept(AXES[0], AXES[1], erased=[ADA])
    assert found.result.snapshot_key is None
    assert key not in dict(found.pictures)
    assert key in found.deleted_crops


async def test_a_frame_whose_face_stands_for_an_erased_user_is_not_kept():
    found, key = await kept(AXES[0], AXES[7])
    face = found.result.faces[0].match
    hidden = found.without_crops({face.face_id})
    assert hidden.result.snapshot_key is None
    assert [name for name, _ in hidden.pictures] == [found.result.faces[1].match.crop_key]
    assert set(hidden.deleted_crops) == {face.crop_key, key}
    assert found.without_crops({UUID(int=9)}) is found


async def test_a_suspected_picture_is_nobody_whoever_it_resembles():
    suspected = image(AXES[0], AXES[1], reliable=[True, False])
    faces = tuple(structs.replace(face, suspected=True) for face in suspected.faces)
    (searched,), _ = await search(structs.replace(suspected, faces=faces))
    found = searched.decide()
    assert [(one.decision.user_id, one.decision.reason) for one in found] == [
        (None, "spoof_suspected"),
        (None, "unreliable"),
    ]
    assert found[0].decision.similarity == pytest.approx(1.0)
    seen = effects.of_image(searched, ())
    assert [match.decision for match in seen.matches] == ["spoof_suspected", "unreliable"]
    assert all(match.user_id is None for match in seen.matches)
    assert [match.candidate_id for match in seen.matches] == [ADA, BEA]
    assert all(sighting.user_id is None for sighting in seen.sightings)
    # A picture of a user who was erased is no picture to keep.
    assert [one.was_erased for one in searched.decide({ADA})] == [True, False]
    (without, _) = effects.of_image(searched, {ADA}).matches
    assert (without.decision, without.candidate_id) == ("spoof_suspected", None)
