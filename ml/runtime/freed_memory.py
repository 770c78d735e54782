"""Memory that was freed and not given back to the system."""

import ctypes


def return_freed_memory() -> None:
    """Give back what the C library keeps for later; nothing where it is not glibc.

    Source: malloc_trim(3). glibc keeps what many threads have freed in pieces, after large pictures
    hundreds of megabytes.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
