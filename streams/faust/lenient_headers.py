r"""Reads messages whose header names are not UTF-8.

Kafka takes any bytes for the name of a header. aiokafka 0.14 raises on those that are not UTF-8,
from every fetch and before the offset moves: one such message would block its partition.
Here its batch is read once more, with these bytes of names written as ``\xff``.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy


def take_any_header_name() -> None:
    """Have all consumers of this process read such messages; harmless to repeat."""
    if not hasattr(fetcher, "MemoryRecords"):
        raise RuntimeError("this release of aiokafka unpacks its records elsewhere")
    fetcher.MemoryRecords = _Records


class _Records(_MemoryRecordsPy):  # type: ignore[misc]
    """What a fetch brought of a partition, batch by batch."""

    def next_batch(self, *arguments: int) -> Any:
        raw = self._next_slice
        batch = super().next_batch(*arguments)
        return _Batch(batch, raw) if isinstance(batch, DefaultRecordBatch) else batch


class _Batch:
    """A batch as aiokafka reads it; from the first bad name on, as `_Lenient` does."""

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
    """A batch read in Python, in which any name is one."""

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Buffer(self._buffer)  # type: ignore[has-type]


class _Buffer(bytearray):
    """Its slices can be decoded whatever they hold."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _Name(found) if isinstance(index, slice) else found


class _Name(bytes):
    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)
