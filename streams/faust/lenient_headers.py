r"""Reads messages whose header names are not UTF-8.

Kafka accepts any bytes as the name of a header. aiokafka 0.14 raises on names that are not UTF-8,
in every fetch and before the offset moves: one such message would block its partition.
Here the batch is read again, and such bytes of a name are written as ``\xff``.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy


def accept_any_header_name() -> None:
    """Make all consumers of this process read such messages; harmless when repeated."""
    if not hasattr(fetcher, "MemoryRecords"):
        raise RuntimeError("this release of aiokafka unpacks its records elsewhere")
    fetcher.MemoryRecords = _Records


class _Records(_MemoryRecordsPy):  # type: ignore[misc]
    """The records of one partition in a fetch, batch by batch."""

    def next_batch(self, *arguments: int) -> Any:
        raw = self._next_slice
        batch = super().next_batch(*arguments)
        return _Batch(batch, raw) if isinstance(batch, DefaultRecordBatch) else batch


class _Batch:
    """A batch as aiokafka reads it; from the first invalid name on, as `_Lenient` reads it."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        """The first record of a control batch, the only call of this kind in aiokafka."""
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        count = 0
        try:
            for record in self._batch:
                count += 1
                yield record
        except UnicodeDecodeError:
            yield from islice(_Lenient(self._raw), count, None)


class _Lenient(_DefaultRecordBatchPy):  # type: ignore[misc]
    """A batch that is read in Python and accepts any bytes as a name."""

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Buffer(self._buffer)  # type: ignore[has-type]


class _Buffer(bytearray):
    """Bytes whose slices can always be decoded."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _Name(found) if isinstance(index, slice) else found


class _Name(bytes):
    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)
