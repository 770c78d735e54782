"""Which refusals of an object store are waited out, and which are the object's own."""

import pytest
from botocore.exceptions import ClientError

from sinks.objects.s3_errors import described, is_fault, is_the_stores


def refusal(code, status):
    return ClientError(
        {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject"
    )


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("PermanentRedirect", 301, "sends us elsewhere"),
        ("TemporaryRedirect", 307, "sends us elsewhere"),
        ("301", 301, "sends us elsewhere"),
        ("308", 308, "sends us elsewhere"),
        ("AuthorizationHeaderMalformed", 400, "another region"),
        ("IllegalLocationConstraintException", 400, "another region"),
        ("SlowDown", 503, "throttles"),
        ("ServiceUnavailable", 503, "throttles"),
        ("XMinioStorageFull", 507, "full"),
        ("507", 507, "full"),
        ("InsufficientStorage", 507, "full"),
        ("QuotaExceeded", 403, "full"),
        ("InvalidAccessKeyId", 403, "credentials"),
        ("TokenRefreshRequired", 400, "credentials"),
        ("RequestTimeTooSkewed", 403, "clocks"),
        ("NoSuchBucket", 404, "init-db"),
    ],
)
def test_field_05_what_is_the_stores_is_waited_out(code, status, said):
    error = refusal(code, status)
    assert is_the_stores(error, key_is_ours=False)
    assert is_the_stores(error, key_is_ours=True)
    assert described(error).startswith(f"{code} (HTTP {status}): ")
    assert said in described(error)


@pytest.mark.parametrize(
    ("code", "status"), [("MethodNotAllowed", 405), ("InvalidObjectState", 403),
                         ("InvalidArgument", 400), ("400", 400), ("BadDigest", 400)],
)  # fmt: skip
def test_field_05_of_our_own_objects_nothing_but_their_size_is_at_fault(code, status):
    assert is_the_stores(refusal(code, status), key_is_ours=True)
    assert not is_the_stores(refusal(code, status), key_is_ours=False)
    for ours in (True, False):
        assert not is_the_stores(refusal("EntityTooLarge", 400), key_is_ours=ours)


def test_field_05_a_store_that_only_reads_is_said_to():
    assert "accepts no writes" in described(refusal("MethodNotAllowed", 405))
    assert "accepts no writes" in described(refusal("405", 405))


def test_a_fault_differs_from_a_request_to_slow_down():
    assert is_fault(refusal("InternalError", 500))
    assert is_fault(refusal("InsufficientStorage", 507))
    assert not is_fault(refusal("SlowDown", 503))
    assert not is_fault(refusal("AccessDenied", 403))
