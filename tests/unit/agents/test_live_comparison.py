"""What a model in shadow says of live faces is counted apart from the decisions."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pytest
from msgspec import structs

from agents.identify import live_comparison
from agents.identify.live_comparison import LiveComparison
from agents.identify.match_events import Origin, match_of
from domain.decisions.matching import Decision, MatchPolicy
from domain.decisions.model_change import EmbedderFile, ModelState, StoredModel
from domain.decisions.shadow_frames import ShadowCount
from domain.events import DetectedFace, DetectedFaces, EventKind, ImageEvent, MatchKind
from ml.gallery.exact_search import Gallery
from sinks.main.models.shadow_counts import CountedFor
from sinks.store_errors import StoreUnavailable

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
AXES = np.eye(4, dtype=np.float32)
ADA, BEA, CID = (UUID(int=number) for number in (1, 2, 3))
NEW = StoredModel(
    "new", EmbedderFile("arcface", "0" * 64, (0, 0, 0), (1, 1, 1), mirror=False), 4,
    ModelState.SHADOW, NOON, NOON,
)  # fmt: skip
KEY = CountedFor("new", "old", "door")


class Galleries:
    """Ada and Bea have templates of the new model."""

    def __init__(self):
        self.gallery = Gallery("new", 4)
        self.gallery.apply([(ADA, AXES[0]), (BEA, AXES[1])])

    async def get(self, _model, _dimension):
        return self.gallery


class Counts:
    """What is stored; the database can be unavailable."""

    def __init__(self):
        self.stored = []
        self.available = True

    async def add_shadow_counts(self, counts):
        if not self.available:
            raise StoreUnavailable("main database", "test", "away")
        self.stored.append(dict(counts))


@contextmanager
def comparing(shadows=(NEW,)):
    with ThreadPoolExecutor(1) as executor:
        counts = Counts()
        yield (
            LiveComparison(
                Galleries(), lambda: shadows, lambda _: MatchPolicy(0.5, 0.05), counts, executor
            ),
            counts,
        )


def face(embedding, **changes):
    others = {} if embedding is None else {"new": embedding.tobytes()}
    return DetectedFace(
        box=(1, 2, 3, 4), landmarks=tuple(map(float, range(10))), score=0.9, quality=0.8,
        embedding=AXES[0].tobytes(), crop=b"jpeg", other_embeddings=others, **changes,
    )  # fmt: skip


def frame(*faces, in_shadow=True, model="old"):
    event = ImageEvent(kind=EventKind.FRAME, source="s", id="e", key="door", captured_at=NOON)
    return DetectedFaces(
        event=event, model=model, width=9, height=9, faces=faces, in_shadow=in_shadow
    )


def note(comparison, found, *users):
    origin = Origin.of(found)
    comparison.note(
        found,
        [
            match_of(origin, UUID(int=9), one, Decision(user, 0.9, 0.1, None), kind=MatchKind.FRAME,
                     crop_key=None)
            for one, user in zip(found.faces, users, strict=True)
        ],
    )  # fmt: skip


BETWEEN = np.array([0, 0, 0, 1], np.float32)


@pytest.mark.parametrize(
    ("embedding", "decided", "expected"),
    [
        (AXES[0], ADA, {"known": 1, "covered": 1, "same_best": 1, "found": 1}),
        (AXES[1], ADA, {"known": 1, "covered": 1, "confused": 1}),
        (0.4 * AXES[0] + 0.9 * AXES[3], ADA, {"known": 1, "covered": 1, "same_best": 1}),
        (AXES[2], CID, {"known": 1}),
        (AXES[1], None, {"taken": 1}),
        (AXES[2], None, {}),
    ],
    ids=["agrees", "confused", "not found", "not covered", "taken", "unknown to both"],
)
async def test_each_answer_is_counted(embedding, decided, expected):
    with comparing() as (comparison, counts):
        note(comparison, frame(face(embedding)), decided)
        await comparison.count()
    assert counts.stored == [{KEY: ShadowCount(faces=1, embedded=1, **expected)}]


async def test_what_says_nothing_is_not_counted():
    with comparing() as (comparison, counts):
        note(comparison, frame(face(AXES[0]), in_shadow=False), ADA)
        note(
            comparison,
            frame(
                face(AXES[0], reliable=False),
                face(AXES[0], suspected=True),
                structs.replace(face(None), best_face_id=UUID(int=8), crop=b""),
            ),
            None,
            None,
            ADA,
        )
        note(comparison, frame(face(AXES[0]), model="new"), ADA)  # it decides itself by now
        await comparison.count()
    assert counts.stored == []


@pytest.mark.parametrize("other", [None, AXES[0][:3]], ids=["missing", "of another dimension"])
async def test_a_face_without_an_embedding_of_the_model_is_counted_as_such(other):
    with comparing() as (comparison, counts):
        note(comparison, frame(face(other), face(AXES[0])), ADA, ADA)
        await comparison.count()
    (stored,) = counts.stored
    assert (stored[KEY].faces, stored[KEY].embedded, stored[KEY].found) == (2, 1, 1)


async def test_counts_wait_for_the_database_and_are_stored_once():
    with comparing() as (comparison, counts):
        for available in (False, False, True, True):
            counts.available = available
            note(comparison, frame(face(AXES[0])), ADA)
            if available:
                await comparison.count()
            else:
                with pytest.raises(StoreUnavailable):
                    await comparison.count()
    assert [one[KEY].found for one in counts.stored] == [3, 1]


async def test_of_too_many_faces_the_first_are_left_out(monkeypatch):
    monkeypatch.setattr(live_comparison, "_AT_ONCE", 700)
    with comparing() as (comparison, counts):
        for _ in range(live_comparison.MOST_WAITING + 5):
            note(comparison, frame(face(AXES[0])), ADA)
        await comparison.count()
    assert counts.stored[0][KEY].faces == live_comparison.MOST_WAITING


class Unsteady(Galleries):
    """The gallery of the second model cannot be loaded at first; faces come while it is."""

    def __init__(self, meanwhile=lambda: None):
        super().__init__()
        self.fails = True
        self.meanwhile = meanwhile

    async def get(self, model, dimension):
        self.meanwhile()
        if self.fails and model == "newer":
            raise StoreUnavailable("vector database", "test", "away")
        return await super().get(model, dimension)


async def test_faces_that_could_not_be_compared_are_compared_later_and_once():
    newer = replace(NEW, id="newer")
    found = frame(face(AXES[0]))
    both = {"new": AXES[0].tobytes(), "newer": AXES[0].tobytes()}
    found = structs.replace(found, faces=(structs.replace(found.faces[0], other_embeddings=both),))
    with comparing((NEW, newer)) as (comparison, counts):
        comparison.galleries = Unsteady()
        note(comparison, found, ADA)
        with pytest.raises(StoreUnavailable):
            await comparison.count()
        comparison.galleries.fails = False
        await comparison.count()
        await comparison.count()
    (stored,) = counts.stored
    assert {key.model: count.faces for key, count in stored.items()} == {"new": 1, "newer": 1}


async def test_faces_that_come_while_others_are_compared_are_not_lost(monkeypatch):
    monkeypatch.setattr(live_comparison, "_AT_ONCE", 2)
    with comparing() as (comparison, counts):
        comparison._waiting = deque(maxlen=3)
        left = [4]

        def one_more():
            if left[0]:
                left[0] -= 1
                note(comparison, frame(face(AXES[1])), ADA)

        for _ in range(3):
            note(comparison, frame(face(AXES[0])), ADA)
        comparison.galleries = Unsteady(one_more)
        await comparison.count()
    assert sum(count.faces for stored in counts.stored for count in stored.values()) == 7
    assert not comparison._waiting
