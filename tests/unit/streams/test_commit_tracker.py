"""Nothing is committed past what is not done, and everything that is done is committed in the end.

Whatever comes between: fetches, work that ends out of order, drains, rebalances, fetches that come
late, and offsets that no consumer sees.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streams.contract.message import Partition
from streams.processing.commit_tracker import CommitTracker
from tests.unit.streams.messages import delivery

PARTITION = Partition("camera.frames", 0)


class Life(RuleBasedStateMachine):
    """A partition and its worker. What no consumer sees lies among the messages.

    The model knows which messages were ever done, and nothing of how that is kept.
    """

    def __init__(self):
        super().__init__()
        self.tracker = CommitTracker()
        self.position = self.committed = 0
        self.on_the_way = []  # offsets that fetches brought and the worker was not given yet
        self.begun = []
        self.done = set()

    @initialize(log=st.lists(st.sampled_from(["message", "message", "marker"]), min_size=8))
    def produce(self, log):
        """What lies at each offset."""
        self.log = log

    @rule(count=st.integers(1, 6))
    def fetch(self, count):
        end = min(self.position + count, len(self.log))
        offsets = [offset for offset in range(self.position, end) if self.log[offset] == "message"]
        self.position = end
        self.tracker.fetched(PARTITION, offsets, end)
        self.on_the_way += offsets

    @precondition(lambda self: self.on_the_way)
    @rule(fates=st.lists(st.sampled_from(["begin", "begin", "drop"]), min_size=1, max_size=6))
    def take_in(self, fates):
        """Also what was fetched before the last rebalance: such a batch comes late."""
        for fate in fates[: len(self.on_the_way)]:
            message = delivery(self.on_the_way.pop(0))
            if fate == "begin" and self.tracker.begin(message):
                self.begun.append(message)

    @precondition(lambda self: self.begun)
    @rule(data=st.data())
    def finish_any(self, data):
        """Also what was begun before the last rebalance."""
        message = self.begun.pop(data.draw(st.integers(0, len(self.begun) - 1)))
        self.done.add(message.offset)
        self.tracker.done(message)

    @precondition(lambda self: self.begun)
    @rule(data=st.data())
    def abandon_any(self, data):
        self.tracker.abandon(self.begun.pop(data.draw(st.integers(0, len(self.begun) - 1))))

    @rule(commits=st.booleans(), elsewhere=st.integers(0, 6))
    def go_back(self, commits, elsewhere):
        """A rebalance: the last commit may fail, and another worker may have continued."""
        if commits:
            self.committed = max(self.committed, self.tracker.committable(PARTITION) or 0)
        if elsewhere:
            self.tracker.revoke([PARTITION])
            before = self.committed
            self.committed = min(self.committed + elsewhere, len(self.log))
            self.done.update(range(before, self.committed))
        self.tracker.restart()
        self.position = self.committed

    @rule()
    def read_again(self):
        """As after an offset that is out of range: the position moves and no rebalance says so."""
        self.position = self.committed

    @invariant()
    def nothing_is_committed_past_what_is_not_done(self):
        log = getattr(self, "log", [])
        open_ = [
            offset
            for offset, kind in enumerate(log)
            if kind == "message" and offset not in self.done
        ]
        assert (self.tracker.committable(PARTITION) or 0) <= min(open_, default=len(log))

    def teardown(self):
        """A worker that goes on undisturbed commits everything, up to the end of the log."""
        if not hasattr(self, "log"):
            return
        self.tracker.restart()
        self.position = self.committed
        self.on_the_way, before = [], self.begun
        self.begun = []
        self.fetch(len(self.log))
        self.take_in(["begin"] * len(self.log))
        for message in before:  # what began before the rebalance ends after it
            self.tracker.done(message)
        if self.begun:
            assert self.tracker.committable(PARTITION) == self.begun[0].offset
        for message in reversed(self.begun):
            self.tracker.done(message)
        assert self.tracker.committable(PARTITION) == len(self.log)
        assert self.tracker.held(PARTITION) == 0


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


def tracking(*offsets, position=None):
    tracker = CommitTracker()
    tracker.fetched(PARTITION, offsets, offsets[-1] + 1 if position is None else position)
    return tracker


def begun(tracker, offset):
    message = delivery(offset)
    assert tracker.begin(message)
    return message


def test_before_the_first_fetch_nothing_is_known():
    assert CommitTracker().committable(PARTITION) is None


def test_field_05_a_message_that_was_fetched_and_never_begun_holds_the_offset():
    tracker = tracking(3, 4, 5)  # dropped on the way
    tracker.fetched(PARTITION, [6, 9], 10)
    for offset in (6, 9):
        tracker.done(begun(tracker, offset))
    assert tracker.committable(PARTITION) == 3


def test_field_05_what_no_consumer_sees_holds_nothing():
    tracker = tracking(3, 8, position=20)
    for offset, after in ((8, 3), (3, 20)):
        tracker.done(begun(tracker, offset))
        assert tracker.committable(PARTITION) == after
    tracker.fetched(PARTITION, [], 25)
    assert tracker.committable(PARTITION) == 25


def test_what_was_begun_before_a_rebalance_is_not_taken_for_what_is_begun_after_it():
    tracker = tracking(4, 5)
    before = begun(tracker, 4)
    tracker.restart()
    assert not tracker.begin(delivery(4))  # a batch that comes late
    tracker.fetched(PARTITION, [4, 5], 6)
    after = begun(tracker, 4)
    tracker.done(before)
    assert tracker.committable(PARTITION) == 4
    tracker.done(after)
    assert tracker.committable(PARTITION) == 5


def test_what_is_finished_behind_one_that_is_not_is_held():
    tracker = tracking(4, 5, 6)
    first, second = begun(tracker, 4), begun(tracker, 5)
    tracker.done(second)
    counts = tracker.held(PARTITION), tracker.in_flight, tracker.unfinished
    assert (tracker.committable(PARTITION), *counts) == (4, 3, 2, 1)
    tracker.done(first)
    counts = tracker.held(PARTITION), tracker.in_flight, tracker.unfinished
    assert (tracker.committable(PARTITION), *counts) == (6, 1, 0, 0)


def test_what_is_abandoned_holds_the_offset():
    tracker = tracking(4, 5)
    first, second = begun(tracker, 4), begun(tracker, 5)
    tracker.abandon(first)
    tracker.done(second)
    tracker.done(first)
    assert (tracker.committable(PARTITION), tracker.unfinished) == (4, 0)


def test_what_another_worker_has_done_holds_nothing():
    tracker = tracking(4, 5)
    begun(tracker, 4)
    tracker.restart()
    tracker.fetched(PARTITION, [100], 101)
    assert tracker.committable(PARTITION) == 100


def test_of_a_log_that_was_made_again_nothing_is_known():
    tracker = tracking(8, 9)
    before = begun(tracker, 8)
    tracker.fetched(PARTITION, [0, 1], 2)
    tracker.done(before)
    assert (tracker.committable(PARTITION), tracker.held(PARTITION)) == (0, 2)


def test_a_message_that_comes_twice_is_begun_once():
    tracker = tracking(4)
    begun(tracker, 4)
    assert not tracker.begin(delivery(4))


def test_partitions_are_apart():
    other = Partition("camera.frames", 1)
    tracker = tracking(4)
    tracker.fetched(other, [7], 8)
    tracker.done(begun(tracker, 4))
    assert (tracker.committable(PARTITION), tracker.committable(other)) == (5, 7)
    tracker.revoke([PARTITION])
    assert (tracker.committable(PARTITION), tracker.committable(other)) == (None, 7)
