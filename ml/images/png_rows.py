"""Whether a PNG has all the rows that its header says.

Pillow takes the end of the compressed data for the end of the picture, wherever that is, and leaves
the rows that are missing black. The compressed data have a length and checksums of their own: a
program that was given half of the rows writes a file without a fault.

Source: W3C PNG specification, sections 7.2 (scanlines), 8.1 (interlacing), 11.2.1 (IHDR).
"""

import struct
import zlib
from typing import Final

from ml.images.image_chunks import png_chunks

_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
#: First column and row of each pass over the picture, and the steps between them.
_WHOLE: Final = ((0, 0, 1, 1),)
_ADAM7: Final = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # fmt: skip

_AT_ONCE: Final = 1 << 20


def has_all_rows(data: bytes) -> bool:
    """Inflate the pixels of a PNG and count their bytes, without keeping them.

    Args:
        data: as `ml.images.image_chunks.plain_png` returns it, of a kind that the decoder takes.
    """
    missing, inflate = 0, zlib.decompressobj()
    try:
        for kind, content in png_chunks(data):
            if kind == b"IHDR":
                missing = _bytes_of_pixels(content)
            elif kind == b"IDAT":
                missing -= _inflated(inflate, content, missing)
    except zlib.error:
        return False
    return missing == 0


def _inflated(inflate: "zlib._Decompress", content: bytes, most: int) -> int:
    """How many bytes are in a part of the compressed data, counted up to so many."""
    count, more = 0, True
    while more and count < most:
        # Of an input that is used up, some output may still be to come.
        found = len(inflate.decompress(content, min(_AT_ONCE, most - count)))
        content = inflate.unconsumed_tail
        count, more = count + found, bool(content or found)
    return count


def _bytes_of_pixels(header: bytes) -> int:
    """Of all rows, each with the byte that names its filter."""
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", header)
    bits = depth * _SAMPLES[colour]
    total = 0
    for left, top, across, down in _ADAM7 if interlaced else _WHOLE:
        columns, rows = -((left - width) // across), -((top - height) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total
