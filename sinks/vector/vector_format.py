"""pgvector's binary format to and from numpy, without a Python object a number.

The format (pgvector's ``vector_send``): dimension and zero as big-endian 16-bit integers, then the
elements as big-endian float32.
"""

import struct
from collections.abc import Sequence

import numpy as np

from domain.store_rows import Embedding

_HEADER = struct.Struct(">HH")


def encode_vector(embedding: Embedding) -> bytes:
    """Encode one vector, float32 of shape (dimension,).

    Raises:
        ValueError: it is not one finite vector; a vector of zeros has no direction either.
    """
    vector = np.asarray(embedding)
    if vector.ndim != 1 or not np.isfinite(vector).all() or not vector.any():
        raise ValueError("not a finite vector other than zero")
    return _HEADER.pack(vector.size, 0) + vector.astype(">f4").tobytes()


def decode_vector(data: bytes) -> Embedding:
    """Decode one vector: float32 of shape (dimension,)."""
    return np.frombuffer(data, dtype=">f4", offset=_HEADER.size).astype(np.float32)


def decode_vectors(rows: Sequence[bytes], dimension: int) -> Embedding:
    """Decode vectors of one dimension at once: float32 of shape (N, dimension)."""
    if not rows:
        return np.empty((0, dimension), dtype=np.float32)
    stride = _HEADER.size + 4 * dimension
    table = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(rows), stride)
    elements = np.ascontiguousarray(table[:, _HEADER.size :]).view(">f4")
    return elements.astype(np.float32)
