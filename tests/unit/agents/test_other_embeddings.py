"""Frames in shadow are embedded by the other models, too, and nothing else about them changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from agents.detect.followed_cameras import TrackingPolicy
from domain.decisions.shadow_frames import is_in_shadow
from tests.unit.agents.coloured_squares import Colours, frame, picture, stand

FRAMES = [
    frame(number, number / 8, picture({"red": (20 + 4 * number, 75), "blue": (200, 100)}))
    for number in range(17)
]


class Doubled(Colours):
    """Another model, in six dimensions."""

    id = "doubled"
    dimension = 6

    def embed(self, aligned):
        raw = np.tile(self.raw(aligned), 2)
        return raw / np.linalg.norm(raw, axis=1, keepdims=True)


async def found(share, *, tracking, others=True):
    with stand(tracking, shadow_share=share) as detect:
        other = Doubled()
        detect.stage.serve(detect.stage._lanes._analyser, [other] if others else [])
        await detect.stage.process(FRAMES)
        results = sorted(detect.broker.results, key=lambda one: one.event.captured_at)
        return results, detect.embedder.count, other.count


def without_others(results):
    """The results without what is another one in each run."""
    return [
        structs.replace(
            one,
            in_shadow=False,
            faces=tuple(
                structs.replace(face, other_embeddings={}, track_id=None) for face in one.faces
            ),
        )
        for one in results
    ]


@pytest.mark.parametrize("tracking", [None, TrackingPolicy()], ids=["every face", "followed"])
@settings(max_examples=10, deadline=None)
@given(share=st.sampled_from([0.0, 0.3, 0.6, 1.0]))
async def test_a_frame_in_shadow_costs_one_embedding_of_each_face_that_was_embedded(
    tracking, share
):
    results, embedded, by_other = await found(share, tracking=tracking)
    usual, as_before, _ = await found(0.0, tracking=tracking, others=False)
    assert without_others(results) == without_others(usual)
    assert embedded == as_before
    second = 0
    for one in results:
        fresh = [face for face in one.faces if face.best_face_id is None]
        assert one.in_shadow == (bool(fresh) and is_in_shadow(one.event.uuid, share))
        for face in one.faces:
            wanted = one.in_shadow and face in fresh
            assert {name: len(row) for name, row in face.other_embeddings.items()} == (
                {"doubled": 24} if wanted else {}
            )
            second += wanted
    assert by_other == second
    assert second > 0 or share < 1


async def test_a_worker_without_the_other_model_says_that_the_frame_was_in_shadow():
    results, _, _ = await found(1.0, tracking=None, others=False)
    assert all(one.in_shadow for one in results)
    assert not any(face.other_embeddings for one in results for face in one.faces)
