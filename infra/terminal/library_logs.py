"""One clear line for a failure: the libraries' own words on the way to it are left out."""

import logging

_TALKATIVE = ("aiokafka", "botocore", "aiobotocore")


def quiet_libraries() -> None:
    """Let no library write to standard error, unless logging is configured to show it."""
    for name in _TALKATIVE:
        logging.getLogger(name).addHandler(logging.NullHandler())
