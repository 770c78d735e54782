"""While faces are followed, another embedder takes over: no result mixes both."""

import asyncio
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.detect import embedder_change
from agents.detect.embedder_change import EmbedderChange
from agents.detect.followed_cameras import TrackingPolicy
from config.settings import ModelSettings
from domain.decisions.model_change import EmbedderFile, ModelsNow
from domain.failures import Retry
from domain.images.image_errors import ModelError
from tests.unit.agents.coloured_squares import Colours, frame, picture, stand

RATE = 25
MOVING = [
    frame(number, number / RATE, picture({"red": (20 + 4 * number, 75), "blue": (200, 100)}))
    for number in range(25)
]
STILL = [
    frame(number, number / 8, picture({"red": (20, 75), "blue": (200, 100)}))
    for number in range(25)
]
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Wide(Colours):
    """The same colours in five dimensions, of another model."""

    id = "wide"
    dimension = 5

    def raw(self, aligned):
        found = super().raw(aligned)
        return np.pad(found[:, ::-1], ((0, 0), (0, 2)), constant_values=7)

    def embed(self, aligned):
        raw = self.raw(aligned)
        return raw / np.linalg.norm(raw, axis=1, keepdims=True)


async def changed(at, sizes, frames=MOVING):
    """All frames in overlapping batches; the other model serves between these two of them."""
    with stand(TrackingPolicy()) as detect:
        own = detect.stage._lanes._analyser
        wide = own.with_embedder(Wide(), "float32")
        start, batches, tasks = 0, [], []
        while start < len(frames):
            batches.append(frames[start : (start := start + sizes[len(batches) % len(sizes)])])
        for number, batch in enumerate(batches):
            if number in at:
                detect.stage.serve(wide if at.index(number) % 2 == 0 else own)
            tasks.append(asyncio.ensure_future(detect.stage.process(batch)))
            await asyncio.sleep(0)
            if len(tasks) > 2:
                await tasks.pop(0)
        await asyncio.gather(*tasks)
        return sorted(detect.broker.results, key=lambda one: one.event.captured_at)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=3, unique=True).map(sorted),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.sampled_from([MOVING, STILL]),
)
async def test_no_result_mixes_two_models_and_tracks_go_on(at, sizes, frames):
    results = await changed(at, sizes, frames)
    assert len(results) == len(frames)
    owners, dimensions = {}, {"colours": 3, "wide": 5}
    for one in results:
        for index, face in enumerate(one.faces):
            assert len(face.embedding) == 4 * dimensions[one.model]
            if face.best_face_id is None:
                owners[one.event.face_id(one.model, index)] = one.model
            else:
                assert owners[face.best_face_id] == one.model
    first = {tuple(face.track_id for face in results[0].faces)}
    assert {tuple(face.track_id for face in one.faces) for one in results} == first


async def test_each_face_is_embedded_once_by_the_new_model():
    before = await changed([], [1])
    results = await changed([2], [5])
    fresh = [
        [face.best_face_id is None for face in one.faces] for one in results if one.model == "wide"
    ]
    assert fresh[0] == [True, True]
    assert not any(any(one) for one in fresh[1:5])
    assert len(before) == len(results)


class Served(list):
    def __call__(self, analyser, others):
        self.append((analyser.embedder.id, tuple(one.id for one in others)))


FILE = EmbedderFile("arcface", "0" * 64, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), mirror=False)


def now(seconds, serving, *models):
    return ModelsNow(NOON + timedelta(seconds=seconds), serving, dict.fromkeys(models, FILE))


@pytest.fixture
def change(monkeypatch):
    """What is served; files can be missing, and each loads the model of its announcement."""
    served = Served()
    served.missing = set()
    with stand(None) as detect:
        own = detect.stage._lanes._analyser

        async def fetch(_file):
            return None

        def build(_settings):
            name = served.loading.pop(0)
            if name in served.missing:
                raise ModelError("not there")
            embedder = Wide()
            embedder.id = name
            return embedder, "float32"

        monkeypatch.setattr(embedder_change, "build_embedder", build)
        served.change = EmbedderChange(ModelSettings(), own, fetch, served)
        yield served


async def test_what_is_announced_serves_and_shadows_embed(change):
    change.loading = ["wide"]
    await change.change.apply(now(1, None, "wide"))
    await change.change.apply(now(2, "wide", "wide", "colours"))
    await change.change.apply(now(3, "colours", "wide", "colours"))
    await change.change.apply(now(2, "wide", "wide", "colours"))  # an older one, late
    await change.change.apply(now(4, "colours", "colours"))
    assert change == [
        ("colours", ("wide",)),
        ("wide", ("colours",)),
        ("colours", ("wide",)),
        ("colours", ()),
    ]
    assert [check.ok for check in change.change.checks()] == [True]


async def test_a_model_that_cannot_be_loaded_changes_nothing_and_is_tried_again(change):
    change.loading, change.missing = ["wide", "wide"], {"wide"}
    await change.change.apply(now(1, "wide", "wide", "colours"))
    assert change == []
    (check,) = change.change.checks()
    assert not check.ok
    assert "not there" in check.detail
    change.missing = set()
    await change.change.retry_failed()
    assert change == [("wide", ("colours",))]
    assert [check.ok for check in change.change.checks()] == [True]


async def test_a_worker_that_begins_without_the_model_that_decides_takes_nothing(change):
    change.loading, change.missing = ["wide", "wide"], {"wide"}
    await change.change.begin(now(1, "wide", "wide", "colours"))
    with pytest.raises(Retry, match="wide decides, and cannot be loaded: not there"):
        change.change.require_ready()
    (check,) = change.change.checks()
    assert not check.ok
    assert check.detail == "wide is not loaded, nothing is processed: not there"
    change.missing = set()
    await change.change.retry_failed()
    change.change.require_ready()
    assert change == [("wide", ("colours",))]


async def test_a_worker_that_works_goes_on_by_its_model_where_the_next_one_is_missing(change):
    change.loading, change.missing = ["wide", "wide"], {"wide"}
    await change.change.begin(now(1, None, "wide"))
    change.change.require_ready()
    await change.change.apply(now(2, "wide", "wide", "colours"))
    change.change.require_ready()
    (check,) = change.change.checks()
    assert check.detail == "wide is not loaded, colours embeds: not there"


async def test_a_worker_is_ready_if_its_own_model_decides_again(change):
    change.loading, change.missing = ["wide"], {"wide"}
    await change.change.begin(now(1, "wide", "wide", "colours"))
    await change.change.apply(now(2, "colours", "colours"))
    change.change.require_ready()


async def test_the_stage_gets_no_partition_until_the_worker_is_ready():
    def refuse():
        raise Retry("not there")

    with stand(None, require_ready=refuse) as detect, pytest.raises(Retry, match="not there"):
        await detect.stage.assigned([])
    with stand(None) as detect:
        await detect.stage.assigned([])
