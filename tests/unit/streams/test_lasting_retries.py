"""A retry that lasts is visible in a worker's health."""

from domain.failures import Denied, Retry
from streams.processing.lasting_retries import LastingRetries


def test_field_05_a_retry_that_lasts_is_told_with_its_topic_and_reason():
    troubles, batch = LastingRetries(patience=0.0), object()
    assert troubles.check().ok
    troubles.note(batch, "faces.detected", Retry("main database:\n read-only"))
    check = troubles.check()
    assert not check.ok
    assert check.name == "retries"
    assert "faces.detected is retried for 0 s: Retry: main database: read-only" in check.detail
    troubles.over(batch)
    assert troubles.check().ok


def test_field_05_a_short_retry_is_no_concern():
    troubles = LastingRetries(patience=60.0)
    troubles.note(object(), "t", Retry("away"))
    assert troubles.check().ok


def test_field_05_of_several_the_one_that_waits_longest_is_told():
    troubles = LastingRetries(patience=0.0)
    first, second = object(), object()
    troubles.note(first, "first", Retry("a"))
    troubles.note(second, "second", Retry("b"))
    troubles.note(first, "first", Retry("again"))
    assert "first is retried" in troubles.check().detail
    assert "again" in troubles.check().detail
    troubles.over(first)
    assert "second is retried" in troubles.check().detail


def test_field_05_a_message_that_is_denied_says_nothing_of_the_worker():
    troubles = LastingRetries(patience=0.0)
    troubles.note(object(), "t", Denied("403"))
    assert troubles.check().ok
