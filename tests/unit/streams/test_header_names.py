"""One message with an odd header name stops neither its partition nor its batch."""

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from hypothesis import given
from hypothesis import strategies as st

from streams.faust.lenient_headers import accept_any_header_name

PLAIN, GZIP = 0, 1


class Raw(str):
    """A name that goes out as the bytes it stands for."""

    __slots__ = ()

    def encode(self, *_how):
        return bytes(map(ord, self))


names = st.binary(max_size=6)
headers = st.lists(st.tuples(names, st.one_of(st.none(), st.binary(max_size=4))), max_size=3)
messages = st.tuples(st.one_of(st.none(), st.binary(max_size=4)), st.binary(max_size=4), headers)


def batch(messages, compression):
    builder = _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=compression,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for offset, (key, value, named) in enumerate(messages):
        raw = [(Raw("".join(map(chr, name))), text) for name, text in named]
        assert builder.append(offset, 1000 + offset, key, value, headers=raw) is not None
    return bytes(builder.build())


@pytest.mark.parametrize("compression", [PLAIN, GZIP])
@given(batches=st.lists(st.lists(messages, min_size=1, max_size=4), min_size=1, max_size=3))
def test_every_message_is_read_whatever_its_headers_are_called(compression, batches):
    accept_any_header_name()
    records = fetcher.MemoryRecords(b"".join(batch(one, compression) for one in batches))
    read = []
    while records.has_next():
        following = records.next_batch()
        assert following.validate_crc()
        read.append([(one.offset, one.key, one.value, one.headers) for one in following])
    assert read == [
        [
            (
                offset,
                key,
                value,
                [(name.decode(errors="backslashreplace"), text) for name, text in named],
            )
            for offset, (key, value, named) in enumerate(one)
        ]
        for one in batches
    ]


@given(messages=st.lists(messages, min_size=1, max_size=4))
def test_field_05_the_first_record_of_a_batch_can_be_asked_for(messages):
    """As aiokafka does with the markers of transactions, once it reads what is committed alone."""
    accept_any_header_name()
    plain = [(key, value, []) for key, value, _ in messages]
    records = fetcher.MemoryRecords(batch(plain, PLAIN))
    assert next(records.next_batch()).value == plain[0][1]
