"""What refusals of an object store mean: of this very object, or of the store and how it is set up.

Sources: Amazon S3 API Reference, "Error responses"; MinIO, ``cmd/api-errors.go``.
"""

from botocore.exceptions import ClientError

_REGION = "the bucket is in another region; FECAPASS_S3__REGION names it"
_ENDPOINT = "the server sends us elsewhere; FECAPASS_S3__ENDPOINT_URL or __REGION is wrong"
_READ_ONLY = "the store accepts no writes here"
_FULL = "the store is full"
_SLOWER = "the store throttles requests"
_LOGIN = "the credentials are refused"

#: Refusals by code, or by status where there is none, with what they mean where that helps.
_MEANINGS = {
    "301": _ENDPOINT, "302": _ENDPOINT, "303": _ENDPOINT, "307": _ENDPOINT, "308": _ENDPOINT,
    "PermanentRedirect": _ENDPOINT, "TemporaryRedirect": _ENDPOINT, "Redirect": _ENDPOINT,
    "AuthorizationHeaderMalformed": _REGION, "IllegalLocationConstraintException": _REGION,
    "InvalidLocationConstraint": _REGION, "InvalidRegion": _REGION,
    "405": _READ_ONLY, "MethodNotAllowed": _READ_ONLY, "ReadOnly": _READ_ONLY,
    "507": _FULL, "InsufficientStorage": _FULL, "QuotaExceeded": _FULL, "XMinioStorageFull": _FULL,
    "XMinioAdminBucketQuotaExceeded": _FULL, "InsufficientCapacity": _FULL,
    "429": _SLOWER, "503": _SLOWER, "SlowDown": _SLOWER, "ServiceUnavailable": _SLOWER,
    "Throttling": _SLOWER, "ThrottlingException": _SLOWER, "TooManyRequests": _SLOWER,
    "RequestLimitExceeded": _SLOWER, "BandwidthLimitExceeded": _SLOWER,
    "401": _LOGIN, "403": "", "AccessDenied": "", "Forbidden": "",
    "ExpiredToken": _LOGIN, "InvalidAccessKeyId": _LOGIN, "InvalidToken": _LOGIN,
    "SignatureDoesNotMatch": _LOGIN, "TokenRefreshRequired": _LOGIN, "NotSignedUp": _LOGIN,
    "AccountProblem": _LOGIN, "AllAccessDisabled": _LOGIN,
    "RequestTimeTooSkewed": "the clocks differ", "RequestExpired": "the clocks differ",
    "NoSuchBucket": "there is no such bucket; run fecapass init-db",
    "407": "the proxy requires a login", "408": "", "OperationAborted": "", "RequestTimeout": "",
}  # fmt: skip

# : For an object that a producer names, only this object is refused; for ours, the store is
# read-only.
_OF_OBJECTS_TOO = frozenset({"405", "MethodNotAllowed", "ReadOnly"})

#: The others are not this object's fault: they are of regions, credentials, a proxy, clocks, load,
#: space, a bucket not yet made.
_PASSING = _MEANINGS.keys() - _OF_OBJECTS_TOO

_THROTTLED = frozenset(
    {
        "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests",
        "RequestLimitExceeded", "BandwidthLimitExceeded",
    }
)  # fmt: skip

#: Of what we write under keys of our own, only this can be the data's fault.
_FAULT_OF_THE_DATA = frozenset({"413", "EntityTooLarge", "KeyTooLongError"})

_FIRST_REDIRECT, _FIRST_REFUSAL, _FIRST_SERVER_ERROR = 300, 400, 500


def code_of(error: ClientError) -> str:
    """The code of a refusal; the status, where the answer has no body."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def status_of(error: ClientError) -> int:
    """The HTTP status of a refusal, 0 where there is none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def described(error: ClientError) -> str:
    """One line: the code, the status, and what they mean."""
    code, status = code_of(error), status_of(error)
    meaning = _MEANINGS.get(code) or _MEANINGS.get(str(status)) or ""
    return f"{code} (HTTP {status})" + (f": {meaning}" if meaning else "")


def is_the_stores(error: ClientError, *, key_is_ours: bool) -> bool:
    """Whether a refusal says nothing of this object, so that the same call may succeed later.

    Args:
        error: what the server said.
        key_is_ours: the key, and what is written, are of our own making.
    """
    code, status = code_of(error), status_of(error)
    if status == 0 or status >= _FIRST_SERVER_ERROR or code in _PASSING:
        return True
    if _FIRST_REDIRECT <= status < _FIRST_REFUSAL:
        return True
    return key_is_ours and code not in _FAULT_OF_THE_DATA


def is_fault(error: ClientError) -> bool:
    """Whether the server failed, rather than refused: it may be down, or fail over one object."""
    return status_of(error) >= _FIRST_SERVER_ERROR and code_of(error) not in _THROTTLED
