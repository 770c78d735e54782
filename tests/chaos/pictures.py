"""Pictures with known content, by the expected outcome of an event with them."""

import hashlib
from functools import cache

import cv2
import numpy as np

from tests.chaos.expectations import Expect
from tests.end_to_end import photos

#: Widths of one portrait, for different files with the same face.
_WIDTHS = range(232, 296, 8)


@cache
def of(expect: Expect) -> tuple[bytes, ...]:
    """The pictures that lead to this outcome."""
    match expect:
        case Expect.KNOWN | Expect.FOUND:
            return tuple(photos.astronaut_of_width(width) for width in _WIDTHS)
        case Expect.UNKNOWN | Expect.NOT_FOUND:
            return tuple(photos.carphone(12, step=4))
        case Expect.NO_FACE | Expect.REFUSED:
            return (photos.nobody(),)
        case Expect.DEAD_LETTER:
            portrait = photos.astronaut_of_width(_WIDTHS[0])
            return (b"no picture at all", portrait[: len(portrait) // 3], photos.bomb())
        case Expect.ENROLLED:
            raise ValueError("every enrolment has its own picture: `portrait`")


def choose(expect: Expect, number: int) -> bytes:
    """One of the pictures for an outcome."""
    return of(expect)[number % len(of(expect))]


def portrait(number: int) -> bytes:
    """A portrait of the known user; portraits of different numbers differ in one pixel."""
    image = cv2.imdecode(np.frombuffer(photos.astronaut_of_width(256), np.uint8), cv2.IMREAD_COLOR)
    image[0, number % 256] = (number // 256) % 256
    done, encoded = cv2.imencode(".png", image)
    assert done
    return encoded.tobytes()


@cache
def by_digest() -> dict[str, Expect]:
    """The expected outcome of a bare frame, by the digest of its picture."""
    kinds = (Expect.KNOWN, Expect.UNKNOWN, Expect.NO_FACE, Expect.DEAD_LETTER)
    return {digest(picture): expect for expect in kinds for picture in of(expect)}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
