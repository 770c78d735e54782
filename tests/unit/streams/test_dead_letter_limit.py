import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from streams.dead_letters.dead_letter_limit import DeadLetterLimit, DeadLetterLimitPolicy
from tests.unit.streams.messages import delivery

outcomes = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c", None]), st.booleans()), max_size=60
)


@given(
    outcomes=outcomes,
    share=st.floats(0.05, 1.0),
    window=st.integers(1, 20),
    least=st.integers(1, 10),
)
def test_the_limit_is_the_mean_share_of_the_keys_over_the_last_messages(
    outcomes, share, window, least
):
    limit = DeadLetterLimit(DeadLetterLimitPolicy(share, window, least))
    for number, (key, is_dead_letter) in enumerate(outcomes):
        limit.note(delivery(number, key=key), is_dead_letter=is_dead_letter)
        last = outcomes[: number + 1][-window:]
        keys = {key for key, _ in last}
        shares = [
            sum(dead for one, dead in last if one == key) / sum(1 for one, _ in last if one == key)
            for key in keys
        ]
        mean = sum(shares) / len(shares)
        assert abs(limit.share - mean) < 1e-9
        if abs(mean - share) > 1e-9:
            dead = sum(dead for _, dead in last)
            assert limit.reached == (share < 1 and dead >= least and mean > share)


def test_a_broken_camera_does_not_stop_the_others():
    limit = DeadLetterLimit(DeadLetterLimitPolicy(0.5, 1000, 10))
    for number in range(1000):
        broken = number % 50 != 0
        key = b"broken" if broken else f"door-{number % 3}".encode()
        limit.note(delivery(number, key=key), is_dead_letter=broken)
    assert not limit.reached


def test_a_broken_release_does():
    limit = DeadLetterLimit(DeadLetterLimitPolicy(0.5, 1000, 10))
    for number in range(10):
        assert not limit.reached
        limit.note(delivery(number, key=f"door-{number}".encode()), is_dead_letter=True)
    assert limit.reached
    assert str(limit).startswith("10 of the last 10 messages are dead letters, 100%")


def test_broken_uploads_each_with_a_key_of_its_own_stop_no_camera():
    limit = DeadLetterLimit(DeadLetterLimitPolicy(0.5, 1000, 10))
    for number in range(900):
        limit.note(delivery(number, key=f"door-{number % 3}".encode()), is_dead_letter=False)
        upload = delivery(number, topic="photo.uploads", key=f"upload-{number}".encode())
        limit.note(upload, is_dead_letter=True, as_one_key=True)
    assert not limit.reached
    assert abs(limit.share - 1 / 4) < 1e-9


def test_large_keys_are_not_kept():
    limit = DeadLetterLimit(DeadLetterLimitPolicy(0.5, 1000, 1000))
    tracemalloc.start()
    try:
        for number in range(100):
            limit.note(delivery(number, key=number.to_bytes(1 << 20, "big")), is_dead_letter=True)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1 << 20


def test_a_share_of_one_sets_no_limit():
    limit = DeadLetterLimit(DeadLetterLimitPolicy(1.0, 10, 1))
    for number in range(10):
        limit.note(delivery(number), is_dead_letter=True)
    assert not limit.reached
