"""Reads times in the format of RFC 3339, which is not quite a subset of ISO 8601.

Source: RFC 3339, "Date and Time on the Internet: Timestamps", section 5.6. ``t`` and ``z`` may be
lower case, a space may replace the ``T``, a second may be 60, a fraction has any number of digits.
Week dates, ordinal dates, basic dates and times without an offset are not RFC 3339.
"""

import re
from datetime import UTC, datetime, timedelta, timezone

_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]"
    r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_LEAP_SECOND = 60
_HOURS, _MINUTES = 24, 60


def parse(text: str) -> datetime:
    """Read a time.

    A leap second becomes the following second, because `datetime` has no leap seconds. Digits after
    the microseconds are ignored.

    Args:
        text: without surrounding spaces.

    Returns:
        The moment in UTC.

    Raises:
        ValueError: it is not an RFC 3339 time, or not within the years 1 to 9999 of UTC.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("not an RFC 3339 time with an offset")
    year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
    fraction, sign, hours, minutes = found.group(7, 8, 9, 10)
    if int(hours or 0) >= _HOURS or int(minutes or 0) >= _MINUTES:
        raise ValueError("an offset of a day or more")
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    zone = timezone(-offset if sign == "-" else offset)
    is_leap = second == _LEAP_SECOND
    microsecond = int((fraction or "0")[:6].ljust(6, "0"))
    moment = datetime(year, month, day, hour, minute, second - is_leap, microsecond, tzinfo=zone)
    try:
        return moment.astimezone(UTC) + timedelta(seconds=is_leap)
    except OverflowError:
        raise ValueError("not within the years 1 to 9999 of UTC") from None
