"""A batch in rounds: what is repeated is processed once."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from agents.identify.batch_rounds import in_rounds
from domain.events import DetectedFaces, EventKind, ImageEvent

MODELS = ("old", "new")
seen = st.tuples(st.sampled_from("abcd"), st.sampled_from(MODELS))


def detected(name, model, kind):
    event = ImageEvent(
        kind=kind, source="s", id=name, key="k", captured_at=datetime(2026, 5, 4, tzinfo=UTC)
    )
    return DetectedFaces(event=event, model=model, width=9, height=9, faces=())


@given(st.lists(seen, max_size=12))
def test_a_frame_is_processed_by_its_first_model_alone(frames):
    messages = [detected(name, model, EventKind.FRAME) for name, model in frames]
    found = in_rounds(messages, lambda message: message)
    firsts = {}
    for name, model in frames:
        firsts.setdefault(name, model)
    (only,) = found.rounds
    assert {one.event.id: one.model for one in only.values()} == firsts
    assert len(only) == len(firsts)
    assert found.duplicates == len(frames) - len(firsts)


@given(st.lists(seen, max_size=12))
def test_an_upload_is_processed_by_each_model(uploads):
    messages = [detected(name, model, EventKind.ENROL) for name, model in uploads]
    found = in_rounds(messages, lambda message: message)
    (only,) = found.rounds
    assert {(one.event.id, one.model) for one in only.values()} == set(uploads)


def test_a_photo_is_decided_again_with_force_and_only_then():
    photo = detected("a", "new", EventKind.ENROL)
    forced = structs.replace(photo, event=structs.replace(photo.event, force=True))
    found = in_rounds([photo, photo, forced, forced], lambda message: message)
    assert [list(one.values()) for one in found.rounds] == [[photo], [forced]]
    assert found.duplicates == 2
