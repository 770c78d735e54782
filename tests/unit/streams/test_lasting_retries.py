"""A retry that lasts is visible in a worker's health."""

from domain.failures import Denied, Retry
from streams.processing.lasting_retries import LastingRetries


def test_field_05_a_retry_that_lasts_is_reported_with_its_topic_and_reason():
    lasting_retries, batch = LastingRetries(patience=0.0), object()
    assert lasting_retries.check().ok
    lasting_retries.note(batch, "faces.detected", Retry("main database:\n read-only"))
    check = lasting_retries.check()
    assert not check.ok
    assert check.name == "retries"
    assert "faces.detected is retried for 0 s: Retry: main database: read-only" in check.detail
    lasting_retries.over(batch)
    assert lasting_retries.check().ok


def test_field_05_a_short_retry_is_no_concern():
    lasting_retries = LastingRetries(patience=60.0)
    lasting_retries.note(object(), "t", Retry("away"))
    assert lasting_retries.check().ok


def test_field_05_of_several_retries_the_longest_is_reported():
    lasting_retries = LastingRetries(patience=0.0)
    first, second = object(), object()
    lasting_retries.note(first, "first", Retry("a"))
    lasting_retries.note(second, "second", Retry("b"))
    lasting_retries.note(first, "first", Retry("again"))
    assert "first is retried" in lasting_retries.check().detail
    assert "again" in lasting_retries.check().detail
    lasting_retries.over(first)
    assert "second is retried" in lasting_retries.check().detail


def test_field_05_a_message_that_is_denied_says_nothing_of_the_worker():
    lasting_retries = LastingRetries(patience=0.0)
    lasting_retries.note(object(), "t", Denied("403"))
    assert lasting_retries.check().ok
