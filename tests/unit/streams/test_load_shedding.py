from hypothesis import given
from hypothesis import strategies as st

from streams.contract.topics import Topics
from streams.processing.load_shedding import SheddingPolicy, Waiting, frame_reader, shedder, stale
from tests.unit.streams.messages import delivery

NOW = 1_000.0

frames = st.one_of(
    st.none(),
    st.builds(Waiting, st.sampled_from(["a", "b", "c"]), st.floats(NOW - 30, NOW + 5)),
)
limits = st.one_of(st.none(), st.floats(0.1, 20))
policies = st.builds(SheddingPolicy, limits, st.dictionaries(st.sampled_from(["a", "b"]), limits))


@given(waiting=st.lists(frames, max_size=40), policy=policies)
def test_only_old_frames_with_a_newer_one_behind_them_are_dropped(waiting, policy):
    dropped = stale(waiting, policy, NOW)
    for place, (frame, old) in enumerate(zip(waiting, dropped, strict=True)):
        if frame is None:
            assert not old
            continue
        limit = policy.limit(frame.camera)
        superseded = any(
            other is not None
            and other.camera == frame.camera
            and (other.captured_at, there) > (frame.captured_at, place)
            for there, other in enumerate(waiting)
        )
        too_old = limit is not None and NOW - frame.captured_at > limit
        assert old == (too_old and superseded)


@given(waiting=st.lists(frames, max_size=40), policy=policies)
def test_the_newest_frame_of_every_camera_is_kept_and_none_older_than_a_dropped_one(
    waiting, policy
):
    dropped = stale(waiting, policy, NOW)
    kept = [one for one, old in zip(waiting, dropped, strict=True) if one and not old]
    gone = [one for one, old in zip(waiting, dropped, strict=True) if one and old]
    assert {one.camera for one in kept} == {one.camera for one in waiting if one}
    for one in gone:
        assert all(
            other.captured_at >= one.captured_at for other in kept if other.camera == one.camera
        )


def test_a_camera_has_its_own_limit_or_none():
    policy = SheddingPolicy(5.0, {"slow": 60.0, "all": None})
    assert [policy.limit(camera) for camera in ("door", "slow", "all")] == [5.0, 60.0, None]
    assert policy.drops_anything
    assert not SheddingPolicy(None, {"all": None}).drops_anything


def test_uploads_replayed_and_unreadable_messages_are_never_dropped():
    shed = shedder(SheddingPolicy(1.0, {}), frame_reader(Topics()))
    waiting = [
        delivery(0, key=b"a"),
        delivery(1, key=b"a", topic="photo.uploads"),
        delivery(2, key=b"a", headers=(("fecapass_replay_of", b"x"),)),
        delivery(3, key=b"a", headers=(("ce_specversion", b"9"),)),
        delivery(4, key=b"a"),
        delivery(5, key=b"b"),
        delivery(6, key=b"a", timestamp=9e15),
    ]
    assert [one.offset for one in shed(waiting)] == [0]
